"""One run: all peers under the same load in turn, then through the same races."""

import os
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import redis
from bench import race, servers
from bench.browser import Browser
from bench.calls import SHOP
from bench.console import BenchError, say
from bench.load import Generator, Load, Target
from bench.processes import memory_bytes
from bench.servers import Running

from peers import trips
from peers.fleet import Peer, store_url
from peers.trips import Meter, Traffic

SESSIONS: Final = 200
PROCESSES: Final = 2
"""Of each peer under load; in the races as many as `bench.race` has."""

QUANTITY: Final = 3
"""Of each line when the load begins."""

_ROOM: Final = 40
"""How many additions a line takes in the mean before the carts are made anew: it holds 99."""

_ADDS: Final = 0.2
_WARM_SECONDS: Final = 6
"""Node gets faster for the first 10,000 requests; imports, caches and connections need less."""


@dataclass(frozen=True)
class Sample(Load):
    """One peer under load in one round."""

    round: int
    peer: str


@dataclass(frozen=True)
class Still:
    """What is measured once for each peer, at rest; memory in bytes.

    Attributes:
        worker: a worker's memory after the load.
        session: the store's memory for a session with eight lines; None without a store.
    """

    read: Traffic
    add: Traffic
    worker: int
    session: int | None


@dataclass(frozen=True)
class Raced:
    """One peer through both races in one round; `lost` is in the additions."""

    round: int
    peer: str
    additions: race.Additions
    revivals: race.Revivals


@dataclass(frozen=True)
class Parameters:
    """How much is measured, and what makes the load."""

    rounds: int
    seconds: int
    races: int
    logouts: int
    generator: Generator


@dataclass(frozen=True)
class Results:
    """Everything that was measured."""

    samples: list[Sample]
    load_averages: list[float]
    still: dict[str, Still]
    raced: list[Raced]

    def document(self) -> dict[str, Any]:
        """Return it as JSON takes it, with what is lost beside what it was reckoned from."""
        return {
            "load_averages": self.load_averages,
            "samples": [asdict(sample) for sample in self.samples],
            "still": {name: asdict(still) for name, still in self.still.items()},
            "raced": [{**asdict(each), "lost": each.additions.lost} for each in self.raced],
        }


def run(peers: Sequence[Peer], parameters: Parameters) -> Results:
    """Measure all of them.

    Raises:
        BenchError: one cannot be started, or answers wrongly.
    """
    samples, load_averages, still = _loaded(peers, parameters)
    return Results(samples, load_averages, still, _raced(peers, parameters))


class Carts:
    """The sessions that are asked for, and how full their lines may have become."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._added = 0.0

    def make(self) -> None:
        """Make new sessions, each with a line of every sku, and write their cookies."""
        headers = []
        for _ in range(SESSIONS):
            browser = filled_cart(self._target.app.socket)
            headers.append(browser.header())
        self._target.cookies.write_text("\n".join(headers) + "\n", encoding="ascii")
        self._added = 0

    def load(self, seconds: int) -> Load:
        """Load the target."""
        if self._added > _ROOM:
            self.make()
        load = self._target.load("mix", seconds)
        self._added += load.requests * _ADDS / (SESSIONS * len(self._target.calls.skus))
        return load


def filled_cart(server: Path) -> Browser:
    """Return a browser with a cart of one line for each sku.

    Raises:
        BenchError: the server does not answer as the contract says.
    """
    browser = Browser(server)
    for sku in SHOP.skus:
        status, _ = browser.ask("POST", SHOP.items, {"sku": sku, "qty": QUANTITY})
        if status != 200:
            raise BenchError(f"{server.stem} answered {status} to POST {SHOP.items}")
    status, body = browser.ask("GET", SHOP.cart)
    if body is None or body.get("count") != QUANTITY * len(SHOP.skus):
        raise BenchError(f"{server.stem} answered {status} with {body!r} to GET {SHOP.cart}")
    return browser


def _loaded(
    peers: Sequence[Peer], parameters: Parameters
) -> tuple[list[Sample], list[float], dict[str, Still]]:
    with _serving(peers, PROCESSES) as (store, apps, folder), ExitStack() as stack:
        nginx, ports = stack.enter_context(servers.nginx(apps, folder))
        carts = {}
        for name, app in apps.items():
            say(f"making {SESSIONS} carts of {name}")
            cookies = folder / f"{name}.cookies"
            target = Target(
                name, app, nginx, store, ports[name], SHOP, cookies, parameters.generator
            )
            carts[name] = Carts(target)
            carts[name].make()
        traffic = _traffic(store, apps)
        for each in carts.values():
            each.load(_WARM_SECONDS)
        samples, load_averages = [], []
        for number in range(1, parameters.rounds + 1):
            load_averages.append(os.getloadavg()[0])
            say(f"round {number} of {parameters.rounds}, load average {load_averages[-1]:.1f}")
            for name in _in_turn(carts, number):
                load = carts[name].load(parameters.seconds)
                samples.append(Sample(**asdict(load), round=number, peer=name))
        still = {
            peer.name: Still(*traffic[peer.name], _worker(apps[peer.name]), _session(store, peer))
            for peer in peers
        }
        return samples, load_averages, still


def _raced(peers: Sequence[Peer], parameters: Parameters) -> list[Raced]:
    raced = []
    with _serving(peers, race.PROCESSES) as (store, apps, _):
        for number in range(1, parameters.races + 1):
            say(f"race {number} of {parameters.races}")
            for peer in peers:
                server = apps[peer.name].socket
                additions = race.race_additions(server, SHOP)
                if additions.failed:
                    raise BenchError(
                        f"{additions.failed} additions failed with {peer.name}: "
                        "the race is not comparable"
                    )
                with redis.Redis.from_url(store_url(store, peer)) as client:
                    revivals = race.race_logouts(server, SHOP, client, parameters.logouts)
                raced.append(Raced(number, peer.name, additions, revivals))
    return raced


@contextmanager
def _serving(
    peers: Iterable[Peer], processes: int
) -> Iterator[tuple[Running, dict[str, Running], Path]]:
    """Run a store and the peers."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        store = stack.enter_context(servers.store(folder))
        apps = {}
        for peer in peers:
            say(f"starting {peer.name}, {processes} processes")
            url = store_url(store, peer)
            apps[peer.name] = stack.enter_context(peer.start(peer.name, processes, url, folder))
        yield store, apps, folder


def _in_turn(names: Iterable[str], number: int) -> list[str]:
    """Return the names, backwards in every other round: what drifts meets all of them alike."""
    ordered = list(names)
    return ordered if number % 2 else ordered[::-1]


def _traffic(store: Running, apps: Mapping[str, Running]) -> dict[str, tuple[Traffic, Traffic]]:
    meter = Meter(store)
    found = {}
    for name, app in apps.items():
        browser = filled_cart(app.socket)
        found[name] = (
            trips.of_reads(meter, browser, SHOP),
            trips.of_adds(meter, browser, SHOP),
        )
    meter.close()
    return found


def _worker(app: Running) -> int:
    # The largest: beside its workers a server may have a process that only watches.
    sizes = sorted(map(memory_bytes, app.workers()), reverse=True)
    return int(statistics.mean(sizes[:PROCESSES]))


def _session(store: Running, peer: Peer) -> int | None:
    if not peer.keys:
        return None
    client: Any = redis.Redis.from_url(store_url(store, peer))
    sizes = [client.memory_usage(key, samples=0) for key in client.scan_iter(peer.keys, count=1000)]
    client.close()
    if len(sizes) < SESSIONS:
        raise BenchError(f"the store holds {len(sizes)} keys like {peer.keys}: {SESSIONS} expected")
    return int(statistics.median(sizes))
