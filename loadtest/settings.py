"""What the caller wants of a run, parsed once from the variables of `make loadtest`."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from runs.errors import RunError
from runs.shape import SHAPES

LOADTEST = Path(__file__).resolve().parents[1]
"""The folder of the load tests."""

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, kw_only=True)
class Options:
    """One run. Times are in seconds; paths are absolute.

    Attributes:
        host: address of the target; ``None``: the stack of ``state_dir``.
        users: at once, in a closed loop.
        rate: visits that begin a second, in an open loop; 0: the loop is closed.
        processes: of the load generator.
        weights: of journeys, in place of their own.
        accounts: names and passwords of users who exist at the target, and are nobody else's now.
    """

    host: str | None
    users: int
    rate: float
    duration: float
    shape: str
    think: float
    processes: int
    profile: str
    slo: Path
    scenario: Path
    weights: Mapping[str, int]
    accounts: tuple[tuple[str, str], ...]
    state_dir: Path


def parse(environ: Mapping[str, str] = os.environ) -> Options:
    """Read the options; an empty variable counts as not given.

    Raises:
        RunError: a value cannot be used.
    """
    given = {name: value for name, value in environ.items() if value}
    shape = given.get("SHAPE", "steady")
    if shape not in SHAPES:
        raise RunError(
            f"SHAPE={shape} is not one of {', '.join(SHAPES)}.", "For example: SHAPE=ramp"
        )
    if "RATE" in given and "USERS" in given:
        raise RunError(
            f"Both USERS={given['USERS']} and RATE={given['RATE']} are set.",
            "USERS makes a closed loop, RATE an open one: give one of them.",
        )
    return Options(
        host=_host(given.get("HOST")),
        users=int(_number(given, "USERS", "50", 1, 100_000, r"\d+")),
        rate=_number(given, "RATE", "1", 0.01, 100_000) if "RATE" in given else 0.0,
        duration=_duration(given.get("DURATION", "30m" if shape == "soak" else "60s")),
        shape=shape,
        think=_number(given, "THINK", "0.1", 0, 3600),
        processes=int(_number(given, "PROCESSES", str(os.cpu_count() or 1), 1, 256, r"\d+")),
        profile=given.get("PROFILE", "default"),
        slo=_file(given, "SLO", LOADTEST / "slo.toml"),
        scenario=_file(given, "SCENARIO", LOADTEST / "scenarios" / "shoppers.py"),
        weights=_weights(given.get("JOURNEYS", "")),
        accounts=_accounts(given.get("ACCOUNTS", "ada:ada grace:grace linus:linus")),
        state_dir=_path(given.get("STATE_DIR", ".state")),
    )


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
        raise RunError(
            f"HOST={text} is not the address of a server.",
            "For example: HOST=http://127.0.0.1:8080",
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
        raise RunError(
            f"{name}={text} is not a {kind} from {low:g} to {high:g}.",
            f"For example: {name}={default}",
        )
    return float(text)


def _duration(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text, re.ASCII)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if seconds < 1:
        raise RunError(
            f"DURATION={text} is no time of a second or more.", "For example: DURATION=60s"
        )
    return seconds


def _path(text: str) -> Path:
    # Relative to the checkout, as the kit reads it.
    return Path(os.path.normpath(LOADTEST.parent / Path(text).expanduser()))


def _file(given: Mapping[str, str], name: str, default: Path) -> Path:
    path = _path(given[name]) if name in given else default
    if not path.is_file() or not os.access(path, os.R_OK):
        raise RunError(f"{name}={path} is not a file that you may read.", "Give its path.")
    return path


def _weights(text: str) -> dict[str, int]:
    weights = {}
    for item in text.replace(",", " ").split():
        name, _, weight = item.partition("=")
        if not name.isidentifier() or not weight.isdecimal():
            raise RunError(
                f"JOURNEYS={text}: {item!r} is not a journey with a weight.",
                "For example: JOURNEYS='Shopper=5 Bot=0'",
            )
        weights[name] = int(weight)
    return weights


def _accounts(text: str) -> tuple[tuple[str, str], ...]:
    accounts = []
    for item in text.split():
        name, colon, password = item.partition(":")
        if not (re.fullmatch(r"[\w.@+-]+", name) and colon and password):
            # Not the whole text: it holds passwords.
            raise RunError(
                f"ACCOUNTS has an entry, {name!r}, that is no name with a password.",
                "For example: ACCOUNTS='ada:ada grace:grace'",
            )
        accounts.append((name, password))
    return tuple(accounts)
