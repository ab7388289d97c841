"""The locustfile: what Locust looks for. `locust -f loadtest/users/locustfile.py` runs it."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from locust import LoadTestShape, User, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

from loadtest.settings import ANSWER_SECONDS, Plan
from loadtest.shapes import SHAPES
from loadtest.users.findings import Finding
from loadtest.users.loops import Visits
from loadtest.users.samples import Arrival, Recorder
from loadtest.users.scenario import Scenario

# A step of the shape begins at once.
_SPAWN_RATE = 1_000.0
# What a process says when its open loop has ended, and its last request was answered.
_ENDED = "ended"
# The last request, and some time to start.
_END_SECONDS = ANSWER_SECONDS + 5

_plan = Plan.from_environ()
_harness = int(os.environ.get("LOADTEST_PID") or os.getppid())
_scenario = Scenario(_plan)
_passwords = [password for _, password in _plan.accounts]
_recorder = Recorder(Path(_plan.folder), _passwords) if _plan.folder else None
_environments: list[Environment] = []
_ended: list[object] = []

# A scenario may hold plain Locust users, beside journeys or instead of them.
_users = {
    name: item for name, item in _scenario.names.items()
    if isinstance(item, type) and issubclass(item, User) and not item.abstract
}  # fmt: skip
globals().update(_users)
_journeys = _scenario.described(list(_users))
if _plan.folder:
    (Path(_plan.folder) / "journeys.json").write_text(json.dumps(asdict(_journeys)))


def _report(finding: Finding) -> None:
    if _recorder is not None:
        _recorder.finding(finding)
    # So that Locust's own pages show it as well.
    for environment in _environments:
        if environment.runner is not None and not isinstance(environment.runner, MasterRunner):
            environment.runner.stats.log_error("CHECK", finding.journey, str(finding))


def _arrived(arrival: Arrival) -> None:
    if _recorder is not None:
        _recorder.arrival(arrival)


_visits = Visits(_plan, _scenario, _report, _arrived)


class Visitor(User):
    """Makes visits."""

    abstract = not _journeys.weights

    @task
    def visit(self) -> None:
        """Make one visit, or all of an open loop."""
        try:
            _visits.make(self)
        except StopUser:
            self.environment.runner.send_message(_ENDED)
            raise


class Shape(LoadTestShape):
    """The shape of a closed loop; an open one has one user a process, and ends with them."""

    abstract = False
    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Return how many users there shall be now, `None` at the end."""
        seconds = self.get_run_time()  # type: ignore[no-untyped-call]
        # Nobody waits for visitors whose harness was killed.
        if os.getppid() != _harness or _has_ended(seconds):
            return None
        if _plan.rate:
            return _plan.processes, _SPAWN_RATE
        share = SHAPES[_plan.shape](seconds / _plan.duration)
        return max(1, round(_plan.users * share)), _SPAWN_RATE


def _has_ended(seconds: float) -> bool:
    # Plain Locust users have no last request.
    tells = _plan.rate and _journeys.weights and not _users
    if not tells or len(_ended) >= _plan.processes:
        return seconds >= _plan.duration
    return seconds >= _plan.duration + _END_SECONDS


@events.init.add_listener  # type: ignore[untyped-decorator]
def _begin(environment: Environment, **_: Any) -> None:
    if _recorder is not None:
        _recorder.listen(environment)
    _environments.append(environment)
    if environment.runner is not None and not isinstance(environment.runner, WorkerRunner):
        environment.runner.register_message(_ENDED, lambda msg, **_: _ended.append(msg))
