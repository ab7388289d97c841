"""The locustfile: what Locust looks for. `locust -f loadtest/users/locustfile.py` runs it."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from locust import LoadTestShape, User, events, task
from locust.env import Environment
from locust.runners import MasterRunner

from loadtest.settings import Plan
from loadtest.shapes import SHAPES
from loadtest.users.findings import Finding
from loadtest.users.loops import Visits
from loadtest.users.samples import Recorder
from loadtest.users.scenario import Scenario

# A step of the shape begins at once.
_SPAWN_RATE = 1_000.0

_plan = Plan.from_environ()
_harness = int(os.environ.get("LOADTEST_PID") or os.getppid())
_scenario = Scenario(_plan)
_recorder = Recorder(Path(_plan.folder)) if _plan.folder else None
_environments: list[Environment] = []

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


_visits = Visits(_plan, _scenario, _report)


class Visitor(User):
    """Makes visits."""

    abstract = not _journeys.weights

    @task
    def visit(self) -> None:
        """Make one visit, or all of an open loop."""
        _visits.make(self)


class Shape(LoadTestShape):
    """The shape of a closed loop; an open one has one user a process."""

    abstract = False
    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Return how many users there shall be now, `None` at the end."""
        share = self.get_run_time() / _plan.duration  # type: ignore[no-untyped-call]
        # Nobody waits for visitors whose harness was killed.
        if share >= 1 or os.getppid() != _harness:
            return None
        if _plan.rate:
            return _plan.processes, _SPAWN_RATE
        return max(1, round(_plan.users * SHAPES[_plan.shape](share))), _SPAWN_RATE


@events.init.add_listener  # type: ignore[untyped-decorator]
def _begin(environment: Environment, **_: Any) -> None:
    if _recorder is not None:
        _recorder.listen(environment)
    _environments.append(environment)
