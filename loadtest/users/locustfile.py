"""The locustfile: `locust -f loadtest/visits/entry.py`. It finds the scenario in the plan.

A closed loop has ``USERS`` users, each making one visit after the other: a target that slows down
is asked less. An open loop begins ``RATE`` visits a second whatever the target does, at random
moments (a Poisson process); the time by which a visit began too late counts as waiting.
"""

import importlib.util
import json
import random
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import gevent
from gevent.pool import Group
from locust import LoadTestShape, User, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import MasterRunner
from runs.kinds import Kind
from runs.plan import Plan
from runs.shape import SHAPES

from visits.browser import Browser
from visits.findings import Answer, Finding, Refused
from visits.journey import Journey
from visits.samples import Samples

# A step of the shape begins at once.
_SPAWN_RATE = 1_000.0
# Visits under way in one process of an open loop: beyond it, memory and sockets would give out.
_MOST_UNDER_WAY = 2_000
# Seconds after a visit that went wrong, at least.
_PAUSE = 0.1


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    sys.path.insert(0, str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


_plan = Plan.from_environ()
_samples = Samples(Path(_plan.folder)) if _plan.folder else None
_scenario = _load(Path(_plan.scenario))
_journeys = [
    item for item in vars(_scenario).values()
    if isinstance(item, type) and issubclass(item, Journey) and item.visit is not Journey.visit
]  # fmt: skip
_weights = {
    journey: _plan.weights.get(journey.__name__, journey.weight)
    for journey in _journeys
    if journey.needs <= set(_plan.offers)
}


class Visitor(User):
    """Makes visits, one after the other or, in an open loop, as they are due."""

    abstract = not any(_weights.values())

    @task
    def go(self) -> None:
        """Make one visit, or begin visits until the run ends."""
        if not _plan.rate:
            self._visit(0.0)
            return
        visits = Group()
        try:
            self._arrivals(visits)
        finally:
            visits.kill()

    def _arrivals(self, visits: Group) -> None:
        began = due = time.perf_counter()
        fraction = SHAPES[_plan.shape]
        while True:
            share = (due - began) / _plan.duration
            if share >= 1:
                visits.join()
                raise StopUser
            rate = _plan.rate * fraction(share) / _plan.processes
            due += random.expovariate(rate)
            gevent.sleep(max(0.0, due - time.perf_counter()))
            if len(visits) >= _MOST_UNDER_WAY:
                detail = f"{_MOST_UNDER_WAY} visits are under way: this one was not begun"
                _report(Kind.OVERLOAD, "arrivals", detail)
            else:
                visits.spawn(self._visit, max(0.0, time.perf_counter() - due))

    def _visit(self, late: float) -> None:
        journey = random.choices(list(_weights), list(_weights.values()))[0]
        browser = Browser(self, journey.cookie, late)
        try:
            self._go_through(journey(browser, _plan))
        except Exception as error:  # noqa: BLE001 (a scenario's own mistake must be reported)
            _report(Kind.BROKEN_SCENARIO, journey.__name__, repr(error), browser.last)
            gevent.sleep(_PAUSE)
        finally:
            browser.close()

    def _go_through(self, journey: Journey) -> None:
        try:
            journey.visit()
        except (Refused, Finding) as ended:
            # Tabs share a jar: what one met after its cookie was replaced follows from that.
            cause = journey.browser.lost or ended
            if isinstance(cause, Refused):
                # Counted with its request. Nobody tries again a thousand times a second.
                gevent.sleep(max(_plan.think, _PAUSE))
                return
            cause = journey.explain(cause)
            _report(cause.kind, type(journey).__name__, cause.detail, cause.answer)


class Shape(LoadTestShape):
    """The run's shape for the closed loop; an open one has one user a process."""

    abstract = False
    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """Return how many users there shall be now, ``None`` at the end."""
        share = self.get_run_time() / _plan.duration  # type: ignore[no-untyped-call]
        if share >= 1:
            return None
        if _plan.rate:
            return _plan.processes, _SPAWN_RATE
        return max(1, round(_plan.users * SHAPES[_plan.shape](share))), _SPAWN_RATE


# A scenario may hold users in Locust's own manner, beside journeys or instead of them.
_users = [
    name for name, item in vars(_scenario).items()
    if isinstance(item, type) and issubclass(item, User) and not item.abstract
]  # fmt: skip
globals().update({name: vars(_scenario)[name] for name in _users})


@events.init.add_listener  # type: ignore[untyped-decorator]
def _begin(environment: Environment, **_: Any) -> None:
    if _samples is not None:
        _samples.listen(environment)
    _environments.append(environment)


def _described() -> dict[str, Any]:
    """Return which journeys take part, with their weights, and which are skipped for what."""
    offers = set(_plan.offers)
    return {
        "weights": {journey.__name__: weight for journey, weight in _weights.items() if weight},
        "skipped": {
            journey.__name__: sorted(journey.needs - offers)
            for journey in _journeys
            if not journey.needs <= offers
        },
        "users": _users,
        "unknown": sorted(set(_plan.weights) - {journey.__name__ for journey in _journeys}),
    }


_environments: list[Environment] = []
if _plan.folder:
    (Path(_plan.folder) / "journeys.json").write_text(json.dumps(_described()), encoding="utf-8")


def _report(kind: Kind, journey: str, detail: str, answer: Answer | None = None) -> None:
    if _samples is not None:
        _samples.finding(kind, journey, detail, answer)
    # So that Locust's own pages show it as well.
    for environment in _environments:
        if environment.runner is not None and not isinstance(environment.runner, MasterRunner):
            environment.runner.stats.log_error("CHECK", journey, f"{kind}: {detail}")
