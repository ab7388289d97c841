"""The page of an ordinary site: what it loses, a thousand times.

Each time, a new browser logs in, in two tabs at once, with a state in the session and a code that
can be redeemed once. It loads a page: six requests at once, two of which store the time of the last
activity, beside the POST of a heartbeat. It sends an order twice at once. Then the session is
compared with what was acknowledged:

- lost: an acknowledged change, or the state of a login, is missing.
- refused: a request was answered 409, so that its client knows.
- twice: a change was applied more often than acknowledged, or a code was redeemed a second time.
- logged out: a request after the login was served without a user.

Plain Flask code counts an order by reading and writing a number. Of two at once this library
refuses one, which is no loss; `session.incr` takes both.
"""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from loadtest.console import say, show
from loadtest.errors import LoadTestError
from loadtest.frameworks import raw, servers
from loadtest.frameworks.client import Browser
from loadtest.frameworks.peers import Peer

PEERS: Final = ("flask-cookie", "flask-session", "unsticky-plain", "unsticky")
FLEETS: Final = 2
PROCESSES: Final = 2
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
                raise LoadTestError(f"{method} {path} was answered {answer.status}")
        bodies = [answer.body for answer in answers if answer.status != _REFUSED]
        step.refused += len(answers) - len(bodies)
        return bodies


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


def measure(peers: Sequence[Peer], *, loads: int, seconds: float) -> None:
    """Load the page of Flask peers, print the table, and keep the raw data.

    Each peer gets so many loads, and so many seconds at most.

    Raises:
        LoadTestError: a peer cannot be started, or fails.
    """
    found: dict[str, list[Load]] = {}
    for peer in peers:
        say(f"{peer.name}: {loads} loads")
        with fleet(peer) as sockets:
            found[peer.name] = load_pages(sockets, loads, seconds)
    say(
        f"\nLoads of {len(_PAGE)} requests at once, after a login in two tabs, before an order "
        f"sent twice; {FLEETS} Gunicorn processes with {PROCESSES} workers each in turn.\n"
        "In each column: the loads that met it."
    )
    header = (
        "session", "step", "loads", *(name.replace("_", " ") for name in _MET), "0 means up to",
    )  # fmt: skip
    rows = [_row(name, step.name, done) for name, done in found.items() for step in fields(Load)]
    show([header, *rows])
    raw.save(
        "page",
        {
            "options": {"loads": loads, "seconds": seconds},
            "loads": {name: [asdict(load) for load in done] for name, done in found.items()},
        },
    )


@contextmanager
def fleet(peer: Peer) -> Iterator[list[Path]]:
    """Run the site of a peer in two Gunicorn processes over one store; yield their sockets."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        store = stack.enter_context(servers.store(folder))
        started = [
            peer.serve(PROCESSES, store, folder, module="flask_site", name=f"site-{number}")
            for number in range(FLEETS)
        ]
        yield [stack.enter_context(server).socket for server in started]


def _row(peer: str, step: str, loads: Sequence[Load]) -> tuple[str, ...]:
    met = [sum(getattr(getattr(load, step), name) > 0 for load in loads) for name in _MET]
    return (peer, step, str(len(loads)), *map(str, met), f"{bound(len(loads)):.2f} %")
