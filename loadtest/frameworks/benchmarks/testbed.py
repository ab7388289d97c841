"""The testbed: peers behind one nginx over one store, with sessions to load them."""

import os
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import redis

from loadtest.console import say
from loadtest.errors import LoadTestError
from loadtest.frameworks import arrivals, contract, mongodb, servers
from loadtest.frameworks.client import Browser
from loadtest.frameworks.load import Generator, Load, Target
from loadtest.frameworks.peers import Peer
from loadtest.frameworks.servers import Running
from loadtest.processes import family

PROCESSES: Final = 2
"""Of each peer under load."""

SESSIONS: Final = 200

QUANTITY: Final = 3
"""Of each line when the load begins."""

# A line holds 99. After so many additions to each line, the carts are made again.
_ROOM: Final = 40
_ADDS: Final = {"read": 0.0, "add": 1.0, "mix": 0.2}


@dataclass(frozen=True)
class Sample(Load):
    """One peer under one load in one round."""

    round: int
    peer: str
    mode: str


@dataclass(frozen=True)
class Arrived:
    """One peer in one round, with requests that arrive at a fixed rate per second.

    Attributes:
        p50_ms: from the moment at which a request was to be sent; `p99_ms`, too.
        late_ms: the 99th percentile of how much later requests were sent.
    """

    round: int
    peer: str
    rate: int
    requests: int
    p50_ms: float
    p99_ms: float
    late_ms: float


@dataclass
class Carts:
    """The sessions of the load on one target; `_added` is how much was added to each line.

    Each load has an order of its own, the same for all targets: always the same lines would be full
    before the others.

    Attributes:
        sessions: how many there are.
    """

    _target: Target
    sessions: int = SESSIONS
    _added: float = 0.0
    _loads: int = 0

    def make(self) -> None:
        """Make new sessions, each with a line of every sku, and write their cookies."""
        browsers = [filled_cart(self._target.app.socket) for _ in range(self.sessions)]
        # The view without a session sets no cookie.
        self.use([browser.header() or "session=none" for browser in browsers])

    def use(self, headers: Sequence[str]) -> None:
        """Load these sessions from now on, each by its Cookie header."""
        self._target.cookies.write_text("\n".join(headers) + "\n", encoding="ascii")
        self.sessions, self._added = len(headers), 0.0

    def load(self, mode: str, seconds: int) -> Load:
        """Load the target."""
        load = self._target.load(mode, seconds, self._begin())
        self._count(load.requests, _ADDS[mode])
        return load

    def arrive(self, rate: int, seconds: int) -> arrivals.Arrivals:
        """Send the mix at a rate per second.

        Raises:
            LoadTestError: a request failed.
        """
        cookies = self._target.cookies.read_text(encoding="ascii").splitlines()
        found = arrivals.arrived(self._target.port, cookies, rate, seconds, self._begin())
        if found.failed or not found.requests:
            raise LoadTestError(
                f"{found.failed} of {found.requests} requests to {self._target.name} failed"
                + "".join(f"\n  {detail}" for detail in found.details)
            )
        self._count(found.requests, _ADDS["mix"])
        return found

    def _begin(self) -> int:
        """Make room for more in the carts; return the seed of the next load."""
        if self._added > _ROOM:
            self.make()
        self._loads += 1
        return self._loads

    def _count(self, requests: int, share: float) -> None:
        self._added += requests * share / (self.sessions * len(contract.SKUS))


@dataclass
class Testbed:
    """Peers that run.

    Attributes:
        load_averages: of the machine, at the begin of each round.
    """

    store: Running
    apps: Mapping[Peer, Running]
    _carts: Mapping[Peer, Carts]
    load_averages: list[float] = field(default_factory=list)

    def warm_up(self, seconds: int) -> None:
        """Load every peer, and forget the figures."""
        for each in self._carts.values():
            each.load("mix", seconds)

    def samples(self, modes: Sequence[str], rounds: int, seconds: int) -> list[Sample]:
        """Load the peers in turn, every other round backwards, so that drift meets all alike."""
        return [
            Sample(**asdict(carts.load(mode, seconds)), round=number, peer=peer.name, mode=mode)
            for number, order in self._turns(rounds)
            for mode in modes
            for peer, carts in order
        ]

    def arrivals(self, rate: int, rounds: int, seconds: int) -> list[Arrived]:
        """Send the peers requests at a rate per second, in turn."""
        found = []
        for number, order in self._turns(rounds):
            for peer, carts in order:
                each = carts.arrive(rate, seconds)
                found.append(
                    Arrived(
                        number, peer.name, rate, each.requests, each.p(50), each.p(99), each.late()
                    )
                )
        return found

    def use(self, peer: Peer, headers: Sequence[str]) -> None:
        """Load these sessions of a peer from now on, each by its Cookie header."""
        self._carts[peer].use(headers)

    def _turns(self, rounds: int) -> Iterator[tuple[int, list[tuple[Peer, Carts]]]]:
        for number in range(1, rounds + 1):
            self.load_averages.append(os.getloadavg()[0])
            say(f"round {number} of {rounds}, load average {self.load_averages[-1]:.1f}")
            yield number, list(self._carts.items())[:: 1 if number % 2 else -1]

    def session_bytes(self, peer: Peer) -> int | None:
        """Return the store's memory for a session with eight lines; None if the store has none."""
        if not peer.keys:
            return None
        client: Any = redis.Redis.from_url(peer.database(self.store))
        with client:
            keys = client.scan_iter(peer.keys, count=1000)
            sizes = [client.memory_usage(key, samples=0) for key in keys]
        if len(sizes) < SESSIONS:
            raise LoadTestError(
                f"the store holds {len(sizes)} keys like {peer.keys}, not {SESSIONS}"
            )
        return int(statistics.median(sizes))


@contextmanager
def under_load(
    peers: Iterable[Peer],
    processes: int,
    generator: Generator,
    worker_class: str = "",
    sessions: int = SESSIONS,
) -> Iterator[Testbed]:
    """Run peers behind nginx, and make their sessions."""
    with serving(peers, processes, worker_class) as (store, apps, folder):
        by_name = {peer.name: app for peer, app in apps.items()}
        with servers.nginx(by_name, folder) as (nginx, ports):
            carts = {}
            for peer, app in apps.items():
                say(f"making {sessions} carts of {peer.name}")
                cookies = folder / f"{peer.name}.cookies"
                pid = mongodb.pid() if peer.place == "mongodb" else peer.store_of(store).pid
                carts[peer] = Carts(
                    Target(peer.name, app, nginx, pid, ports[peer.name], cookies, generator),
                    sessions,
                )
                carts[peer].make()
            yield Testbed(store, apps, carts)


@contextmanager
def serving(
    peers: Iterable[Peer], processes: int, worker_class: str = ""
) -> Iterator[tuple[Running, dict[Peer, Running], Path]]:
    """Run a store and peers."""
    with ExitStack() as stack, short_folder() as folder:
        store = stack.enter_context(servers.store(folder))
        apps = {}
        for peer in peers:
            say(f"starting {peer.name}, processes: {peer.processes(processes)}")
            started = peer.serve(processes, store, folder, worker_class=worker_class)
            apps[peer] = stack.enter_context(started)
        yield store, apps, folder


@contextmanager
def short_folder() -> Iterator[Path]:
    """Make a folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        yield Path(name)


def worker_bytes(app: Running, processes: int) -> int:
    """Return the mean proportional set size: shared pages are divided by those who share them."""
    sizes = [process.memory_full_info().pss for process in family(app.pid)[1:]]
    # The largest: beside its workers a server may have a process that only watches.
    return int(statistics.mean(sorted(sizes)[-processes:]))


def filled_cart(server: Path | int) -> Browser:
    """Return a browser with a cart of one line for each sku, at a socket or a port.

    Raises:
        LoadTestError: the server does not answer as the contract says.
    """
    browser = Browser(server)
    for sku in contract.SKUS:
        browser.expect("POST", contract.ITEMS, {"sku": sku, "qty": QUANTITY})
    status, body = browser.ask("GET", contract.CART)
    if body is None or body.get("count") != QUANTITY * len(contract.SKUS):
        raise LoadTestError(f"{server} answered {status} with {body!r} to GET {contract.CART}")
    return browser
