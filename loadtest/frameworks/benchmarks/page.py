"""`make bench-page`: what the page of an ordinary site loses, a thousand times.

Each time a new browser logs in, in two tabs at once, with a state kept in the session and a code
that can be redeemed once. It loads a page: six requests at once, two of which store the time of the
last activity, beside the POST of a heartbeat. It sends an order twice at once. Then the session is
compared with what was acknowledged:

- lost: a change or a login's state that was acknowledged is not there.
- refused: a request was answered 409, so that its client knows.
- twice: a change was applied more often than acknowledged, or a code was redeemed a second time.
- logged out: a request after the login was served to nobody.

Plain Flask code counts an order by reading and writing a number. Of two at once this library
refuses one, which is no loss; `session.incr` takes both.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from . import record, servers
from .browser import Answer, Browser
from .console import BenchError, print_table, run, say
from .kinds import Kind
from .pages import application

KINDS: Final = (Kind.COOKIE, Kind.FLASK_SESSION, Kind.UNSTICKY_PLAIN, Kind.UNSTICKY)
FLEETS: Final = 2
WORKERS: Final = servers.Workers("sync", 2)
PARTS: Final = 4

_OK = 200
_REFUSED = 409
_WRONG = 400
_PAGE = (*[("GET", "/page")] * 2, *[("GET", "/part")] * PARTS, ("POST", "/heartbeat"))
_CONFIDENCE = 0.95
_MET = ("lost", "refused", "twice", "logged_out")


@dataclass
class Step:
    """How often one step of a load met what it should not; all 0 if the session held."""

    lost: int = 0
    refused: int = 0
    twice: int = 0
    logged_out: int = 0


@dataclass
class Load:
    """The steps of one browser."""

    login: Step = field(default_factory=Step)
    page: Step = field(default_factory=Step)
    order: Step = field(default_factory=Step)


class Visitor:
    """A new browser."""

    def __init__(self, app: Sequence[Path], threads: ThreadPoolExecutor) -> None:
        self._browser = Browser(app)
        self._threads = threads

    def visit(self) -> Load:
        """Log in, load the page, order; return what went wrong."""
        load = Load()
        self._log_in(load.login)
        shown = self._at_once(load.page, *_PAGE)
        load.page.logged_out = sum(body["user"] is None for body in shown)
        ordered = self._at_once(load.order, *[("POST", "/orders")] * 2)
        (state,) = self._at_once(load.order, ("GET", "/state"))
        load.order.logged_out = int(state["user"] is None)
        for name in ("last_activity", "heartbeat"):
            acknowledged = [body[name] for body in shown if name in body]
            load.page.lost += bool(acknowledged) and state[name] not in acknowledged
        missing = len(ordered) - (state["orders"] or 0)
        load.order.lost, load.order.twice = max(missing, 0), max(-missing, 0)
        return load

    def _log_in(self, step: Step) -> None:
        """Begin in two tabs at once, come back to both at once."""
        self._at_once(step, ("GET", "/"))
        states = [body["state"] for body in self._at_once(step, *[("GET", "/login")] * 2)]
        came = [("GET", f"/callback?state={state}&code={uuid4().hex}") for state in states]
        errors = Counter(body.get("error") for body in self._at_once(step, *came))
        step.lost, step.twice = errors["state"], errors["redeemed"]

    def _at_once(self, step: Step, *requests: tuple[str, str]) -> list[Any]:
        """Send requests at the same time; return the bodies of those that were not refused."""
        answers = list(self._threads.map(lambda each: self._browser.ask(*each), requests))
        for (method, path), answer in zip(requests, answers, strict=True):
            if answer.status not in {_OK, _WRONG, _REFUSED}:
                raise BenchError(f"{method} {path} was answered {answer.status}")
        step.refused += sum(map(_is_refused, answers))
        return [answer.body for answer in answers if not _is_refused(answer)]


def _is_refused(answer: Answer) -> bool:
    return answer.status == _REFUSED


def load_pages(app: Sequence[Path], loads: int, seconds: float) -> list[Load]:
    """Load the page `loads` times, or as often as `seconds` allow, from as many browsers."""
    end = time.monotonic() + seconds
    done: list[Load] = []
    with ThreadPoolExecutor(len(_PAGE)) as threads:
        while len(done) < loads and time.monotonic() < end:
            done.append(Visitor(app, threads).visit())
    return done


def bound(loads: int) -> float:
    """Return the largest share, in percent, that 0 of `loads` leaves possible at 95 %.

    The upper end of Clopper and Pearson's interval, one-sided; about 3 / loads.
    """
    left: float = (1 - _CONFIDENCE) ** (1 / loads)
    return 100 * (1 - left)


def main() -> None:
    """Load, print the table, keep the raw data."""
    options = _options()
    found: dict[Kind, list[Load]] = {}
    for kind in options.only:
        say(f"{kind}: {options.loads} loads")
        found[kind] = _loaded(kind, options)
    say(
        f"\nLoads of {len(_PAGE)} requests at once, after a login in two tabs, before an order "
        f"sent twice; {FLEETS} Gunicorn processes with {WORKERS.processes} workers each in turn.\n"
        "In each column: the loads that met it."
    )
    header = (
        "session",
        "step",
        "loads",
        *(name.replace("_", " ") for name in _MET),
        "0 means up to",
    )
    print_table(
        header,
        [_row(kind, step.name, loads) for kind, loads in found.items() for step in fields(Load)],
    )
    path = record.save(
        "page",
        {
            "options": vars(options),
            "loads": {kind: [asdict(load) for load in loads] for kind, loads in found.items()},
        },
    )
    say(f"\nraw data: {path}")


def _loaded(kind: Kind, options: argparse.Namespace) -> list[Load]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        store = stack.enter_context(servers.store(folder))
        fleet = [
            stack.enter_context(
                servers.gunicorn(f"{kind}-{number}", application(kind, store.url), WORKERS, folder)
            ).socket
            for number in range(FLEETS)
        ]
        return load_pages(fleet, options.loads, options.seconds)


def _row(kind: Kind, step: str, loads: Sequence[Load]) -> tuple[str, ...]:
    met = [sum(getattr(getattr(load, step), name) > 0 for load in loads) for name in _MET]
    return (kind, step, str(len(loads)), *map(str, met), f"{bound(len(loads)):.2f} %")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-page", description=__doc__)
    parser.add_argument("--loads", type=int, default=1000, help="of each kind")
    parser.add_argument("--seconds", type=float, default=300, help="for each kind at most")
    parser.add_argument("--only", nargs="+", type=Kind, choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    if options.loads < 1 or options.seconds <= 0:
        parser.error("--loads and --seconds must be above 0")
    return options


if __name__ == "__main__":
    run(main)
