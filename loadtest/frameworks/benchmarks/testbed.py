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
from loadtest.frameworks import contract, mongodb, servers
from loadtest.frameworks.client import Browser
from loadtest.frameworks.load import Generator, Load, Target
from loadtest.frameworks.peers import Peer
from loadtest.frameworks.servers import Running

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


@dataclass
class Carts:
    """The sessions of the load on one target; `_added` is how much was added to each line.

    Each load has an order of its own, the same for all targets: always the same lines would be full
    before the others.
    """

    _target: Target
    _added: float = 0.0
    _loads: int = 0

    def make(self) -> None:
        """Make new sessions, each with a line of every sku, and write their cookies."""
        browsers = [filled_cart(self._target.app.socket) for _ in range(SESSIONS)]
        # The view without a session sets no cookie.
        headers = [browser.header() or "session=none" for browser in browsers]
        self._target.cookies.write_text("\n".join(headers) + "\n", encoding="ascii")
        self._added = 0.0

    def load(self, mode: str, seconds: int) -> Load:
        """Load the target."""
        if self._added > _ROOM:
            self.make()
        self._loads += 1
        load = self._target.load(mode, seconds, self._loads)
        self._added += load.requests * _ADDS[mode] / (SESSIONS * len(contract.SKUS))
        return load


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
        samples = []
        for number in range(1, rounds + 1):
            self.load_averages.append(os.getloadavg()[0])
            say(f"round {number} of {rounds}, load average {self.load_averages[-1]:.1f}")
            order = list(self._carts.items())[:: 1 if number % 2 else -1]
            for mode in modes:
                for peer, carts in order:
                    load = carts.load(mode, seconds)
                    samples.append(Sample(**asdict(load), round=number, peer=peer.name, mode=mode))
        return samples

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
    peers: Iterable[Peer], processes: int, generator: Generator, worker_class: str = ""
) -> Iterator[Testbed]:
    """Run peers behind nginx, and make their sessions."""
    with serving(peers, processes, worker_class) as (store, apps, folder):
        by_name = {peer.name: app for peer, app in apps.items()}
        with servers.nginx(by_name, folder) as (nginx, ports):
            carts = {}
            for peer, app in apps.items():
                say(f"making {SESSIONS} carts of {peer.name}")
                cookies = folder / f"{peer.name}.cookies"
                pid = mongodb.pid() if peer.place == "mongodb" else store.pid
                carts[peer] = Carts(
                    Target(peer.name, app, nginx, pid, ports[peer.name], cookies, generator)
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


def filled_cart(server: Path) -> Browser:
    """Return a browser with a cart of one line for each sku.

    Raises:
        LoadTestError: the server does not answer as the contract says.
    """
    browser = Browser(server)
    for sku in contract.SKUS:
        browser.expect("POST", contract.ITEMS, {"sku": sku, "qty": QUANTITY})
    status, body = browser.ask("GET", contract.CART)
    if body is None or body.get("count") != QUANTITY * len(contract.SKUS):
        raise LoadTestError(f"{server.stem} answered {status} with {body!r} to GET {contract.CART}")
    return browser
