"""The settings of a load test, parsed once from the variables of `make loadtest`."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from loadtest.errors import LoadTestError
from loadtest.machine import CHECKOUT
from loadtest.shapes import SHAPES

LOADTEST = CHECKOUT / "loadtest"
"""The folder of this package."""

ANSWER_SECONDS = 35.0
"""After so long, a request has no answer."""

_VARIABLE = "LOADTEST_PLAN"
_SHOPPERS = LOADTEST / "scenarios" / "shoppers.py"
_DEMO_ACCOUNTS = (("ada", "ada"), ("grace", "grace"), ("linus", "linus"))
_ARRIVALS = ("poisson", "constant")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much load, of what shape, and which journeys. Locust's processes read it.

    Attributes:
        scenario: path of the file with the journeys.
        users: at once, if the loop is closed.
        rate: visits that begin each second, however the target answers; 0 for a closed loop.
        arrivals: how the visits of an open loop are spaced: poisson (at random) or constant.
        duration: in seconds.
        shape: steady, ramp, spike or soak.
        think: mean pause between two requests of a visit, in seconds.
        processes: of the load generator.
        weights: of journeys by name, in place of their own.
        accounts: names and passwords of users who exist at the target.
        offers: what the target offers.
        folder: where each process writes its samples; empty for nowhere.
    """

    scenario: str = str(_SHOPPERS)
    users: int = 50
    rate: float = 0.0
    arrivals: str = "poisson"
    duration: float = 60.0
    shape: str = "steady"
    think: float = 0.1
    processes: int = 1
    weights: Mapping[str, int] = field(default_factory=dict)
    accounts: tuple[tuple[str, str], ...] = field(default=_DEMO_ACCOUNTS, repr=False)
    offers: tuple[str, ...] = ("products", "cart", "session", "accounts", "checkout")
    folder: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read the plan that `to_environ` wrote; without one, all defaults."""
        given = json.loads(environ.get(_VARIABLE, "{}"))
        if "accounts" in given:
            given["accounts"] = tuple(map(tuple, given["accounts"]))
        return cls(**given)

    def to_environ(self) -> dict[str, str]:
        """Return the variable for a child process."""
        return {_VARIABLE: json.dumps(asdict(self))}

    def __str__(self) -> str:
        """How the load is made."""
        if self.rate:
            return f"{self.shape}, open loop: {self.rate:g} visits begin a second ({self.arrivals})"
        return (
            f"{self.shape}, closed loop: {self.users} users, "
            f"{self.think * 1000:.0f} ms between their requests"
        )

    def differences(self, other: "Plan") -> list[str]:
        """Return in words each setting that makes two runs hard to compare."""
        pairs = {
            item.name: (getattr(self, item.name), getattr(other, item.name))
            for item in fields(self)
            if item.name in {"users", "rate", "arrivals", "shape", "think", "scenario", "processes"}
        }
        return [f"{name} differs: {a} and {b}" for name, (a, b) in pairs.items() if a != b]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One run; paths are absolute.

    Attributes:
        plan: what the load generator does.
        step: seconds of each load of a search for the capacity.
        host: address of the target; `None` for the stack of `state_dir`.
        profile: name of a table of limits in the file `slo`.
        stops_early: whether the run ends once it cannot pass any more.
    """

    plan: Plan
    step: float
    host: str | None
    profile: str
    slo: Path
    state_dir: Path
    stops_early: bool = False


def parse(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; an empty variable counts as not given.

    Raises:
        LoadTestError: a value cannot be used.
    """
    given = {name: value for name, value in environ.items() if value}
    shape = given.get("SHAPE", "steady")
    if shape not in SHAPES:
        raise LoadTestError(
            f"SHAPE={shape} is not one of {', '.join(SHAPES)}", "for example SHAPE=ramp"
        )
    if "RATE" in given and "USERS" in given:
        raise LoadTestError(
            f"cannot use both USERS={given['USERS']} and RATE={given['RATE']}",
            "USERS makes a closed loop, RATE an open one: give one of them",
        )
    arrivals = given.get("ARRIVALS", _ARRIVALS[0])
    if arrivals not in _ARRIVALS:
        raise LoadTestError(
            f"ARRIVALS={arrivals} is not one of {', '.join(_ARRIVALS)}",
            "for example ARRIVALS=constant",
        )
    if "ARRIVALS" in given and "RATE" not in given:
        raise LoadTestError(
            f"cannot use ARRIVALS={arrivals} without RATE: in a closed loop users wait for answers",
            "give a rate, too: RATE=40",
        )
    users = int(_number(given, "USERS", "50", 1, 100_000, r"\d+"))
    rate = _number(given, "RATE", "1", 0.01, 100_000) if "RATE" in given else 0.0
    processes = int(_number(given, "PROCESSES", str(os.cpu_count() or 1), 1, 256, r"\d+"))
    plan = Plan(
        scenario=str(_file(given, "SCENARIO", _SHOPPERS)),
        users=users,
        rate=rate,
        arrivals=arrivals,
        duration=_duration(given, "DURATION", "30m" if shape == "soak" else "60s"),
        shape=shape,
        think=_number(given, "THINK", "0.1", 0, 3600),
        # More processes than users would leave some with nothing to do.
        processes=processes if rate else min(processes, users),
        weights=_weights(given.get("JOURNEYS", "")),
        accounts=_accounts(given["ACCOUNTS"]) if "ACCOUNTS" in given else _DEMO_ACCOUNTS,
        offers=(),
    )
    return Settings(
        plan=plan,
        step=_duration(given, "STEP", "15s"),
        host=_host(given.get("HOST")),
        profile=given.get("PROFILE", "default"),
        slo=_file(given, "SLO", LOADTEST / "slo.toml"),
        state_dir=state_dir(given),
        stops_early=_stops_early(given),
    )


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the state folder."""
    return _path(environ.get("STATE_DIR") or ".state")


def _stops_early(given: Mapping[str, str]) -> bool:
    text = given.get("STOP", "never")
    if text not in {"early", "never"}:
        raise LoadTestError(
            f"STOP={text} is not early or never",
            "STOP=early ends a run once it cannot pass any more",
        )
    return text == "early"


def _host(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        # The port is parsed where it is read. A password would stand in every report.
        good = (
            parts.scheme in {"http", "https"}
            and parts.hostname
            and parts.port != 0
            and parts.username is None
        )
    except ValueError:
        good = False
    if not good or not re.fullmatch(r"[!-~]+", text):
        raise LoadTestError(
            f"HOST={text} is not the address of a server", "for example HOST=http://127.0.0.1:8080"
        )
    return text.rstrip("/")


def _number(
    given: Mapping[str, str],
    name: str,
    default: str,
    low: float,
    high: float,
    form: str = r"\d+(\.\d+)?|\.\d+",
) -> float:
    text = given.get(name, default)
    if not re.fullmatch(form, text, re.ASCII) or not low <= float(text) <= high:
        kind = "whole number" if form == r"\d+" else "number"
        raise LoadTestError(
            f"{name}={text} is not a {kind} from {low:g} to {high:g}",
            f"for example {name}={default}",
        )
    return float(text)


def _duration(given: Mapping[str, str], name: str, default: str) -> float:
    text = given.get(name, default)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text, re.ASCII)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if seconds < 1:
        raise LoadTestError(
            f"{name}={text} is not a time of one second or more", f"for example {name}={default}"
        )
    return seconds


def _path(text: str) -> Path:
    # Relative to the checkout, as the kit reads it.
    return Path(os.path.normpath(CHECKOUT / Path(text).expanduser()))


def _file(given: Mapping[str, str], name: str, default: Path) -> Path:
    path = _path(given[name]) if name in given else default
    if not path.is_file() or not os.access(path, os.R_OK):
        raise LoadTestError(f"{name}={path} is not a file that you may read", "give its path")
    return path


def _weights(text: str) -> dict[str, int]:
    weights = {}
    for item in text.replace(",", " ").split():
        name, _, weight = item.partition("=")
        if not name.isidentifier() or not weight.isdecimal():
            raise LoadTestError(
                f"JOURNEYS={text}: {item!r} is not a journey with a weight",
                "for example JOURNEYS='Shopper=5 Bot=0'",
            )
        weights[name] = int(weight)
    return weights


def _accounts(text: str) -> tuple[tuple[str, str], ...]:
    accounts = []
    for item in text.split():
        name, colon, password = item.partition(":")
        if not (re.fullmatch(r"[\w.@+-]+", name) and colon and password):
            # Not the whole text: it holds passwords.
            raise LoadTestError(
                f"ACCOUNTS: {name!r} is not a name with a password",
                "for example ACCOUNTS='ada:ada grace:grace'",
            )
        accounts.append((name, password))
    return tuple(accounts)
