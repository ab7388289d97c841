"""What a run does: read by Locust's processes from one JSON document in the environment."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

VARIABLE = "LOADTEST_PLAN"
"""The environment variable that holds the document."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much load, of what shape, and which journeys.

    Attributes:
        scenario: the file with the journeys.
        users: at once, where the loop is closed.
        rate: visits that begin a second, whatever the target does; 0 for a closed loop.
        duration: seconds.
        shape: steady, ramp, spike or soak.
        think: mean seconds between two requests of a visit.
        processes: of the load generator.
        weights: of journeys by their name, in place of their own.
        offers: what the target offers.
        accounts: names and passwords of users who exist there; each is one visitor's at a time.
        folder: where each process writes its samples; empty: nowhere.
    """

    scenario: str
    users: int = 50
    rate: float = 0.0
    duration: float = 60.0
    shape: str = "steady"
    think: float = 0.1
    processes: int = 1
    weights: Mapping[str, int] = field(default_factory=dict)
    offers: tuple[str, ...] = ()
    accounts: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    folder: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the plan; by default the shop's scenario, of which everything is offered."""
        default = Path(__file__).parents[1] / "scenarios" / "shoppers.py"
        given = json.loads(environ.get(VARIABLE, "{}"))
        given.setdefault("scenario", str(default))
        given.setdefault("offers", ["products", "cart", "session", "accounts", "checkout"])
        given["offers"] = tuple(given["offers"])
        given["accounts"] = tuple((name, word) for name, word in given.get("accounts", ()))
        return cls(**given)

    def to_environ(self) -> dict[str, str]:
        """Return the variable for a child process."""
        return {VARIABLE: json.dumps(asdict(self))}
