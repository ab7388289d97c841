"""A scenario: a Python file with journeys, and which of them take part in a run."""

import importlib.util
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from loadtest.settings import Plan
from loadtest.users.journey import Journey


@dataclass(frozen=True, kw_only=True)
class Journeys:
    """The journeys and users of a run, by name.

    Attributes:
        weights: how often each journey is chosen.
        skipped: journeys that the target cannot serve, and what it does not offer for them.
        users: classes of plain Locust users.
        unknown: names in JOURNEYS that the scenario does not have.
    """

    weights: Mapping[str, int]
    skipped: Mapping[str, list[str]]
    users: list[str]
    unknown: list[str]


class Scenario:
    """The journeys of a plan's file.

    Attributes:
        names: everything that the file defines.
    """

    def __init__(self, plan: Plan) -> None:
        self.names = vars(_loaded(Path(plan.scenario)))
        self._plan = plan
        self._journeys = [
            item for item in self.names.values()
            if isinstance(item, type) and issubclass(item, Journey)
            and item.visit is not Journey.visit
        ]  # fmt: skip
        self._weights = {
            journey: plan.weights.get(journey.__name__, journey.weight)
            for journey in self._journeys
            if journey.needs <= set(plan.offers)
        }

    def choose(self) -> type[Journey]:
        """Return a journey at random, by weight."""
        return random.choices(list(self._weights), list(self._weights.values()))[0]

    def described(self, users: list[str]) -> Journeys:
        """Return what takes part; `users` are the names of plain Locust users."""
        offers = set(self._plan.offers)
        return Journeys(
            weights={each.__name__: weight for each, weight in self._weights.items() if weight},
            skipped={
                each.__name__: sorted(each.needs - offers)
                for each in self._journeys
                if not each.needs <= offers
            },
            users=users,
            unknown=sorted(set(self._plan.weights) - {each.__name__ for each in self._journeys}),
        )


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    sys.path.insert(0, str(path.parent))
    if importlib.util.find_spec("visits") is None:
        # The documentation showed `from visits import Journey` until version 0.1.
        sys.modules["visits"] = sys.modules["loadtest"]
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
