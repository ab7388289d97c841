"""What a session costs a request: CPU time of the application's workers, compared with none.

Through nginx over unix sockets: reading the cart, adding to it, and 80 reads to 20 adds. The peers
take turns in short rounds. The tax of a session is its cost above the same views without a session.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from loadtest.console import say, show
from loadtest.frameworks import contract, raw
from loadtest.frameworks.benchmarks.spread import ratio, spread
from loadtest.frameworks.benchmarks.testbed import SESSIONS, Sample, under_load
from loadtest.frameworks.load import CONNECTIONS, Generator
from loadtest.frameworks.peers import Peer

PEERS: Final = ("none", "blob", "unsticky", "flask-session")
MODES: Final = ("read", "add", "mix")

_FLOOR, _REFERENCE = "none", "blob"


def measure(
    peers: Sequence[Peer],
    generator: Generator,
    *,
    modes: Sequence[str],
    rounds: int,
    seconds: int,
    workers: int,
    worker_class: str,
) -> None:
    """Measure, print the tables, and keep the raw data.

    The peers take turns in each round, and each sample takes so many seconds.

    Raises:
        LoadTestError: a request failed, or a worker ended meanwhile.
    """
    with under_load(peers, workers, generator, worker_class) as bed:
        sizes = {peer.name: size for peer in peers if (size := bed.session_bytes(peer)) is not None}
        bed.warm_up(1)
        samples = bed.samples(modes, rounds, seconds)
    names = [peer.name for peer in peers]
    for mode in modes:
        say(f"\n{mode}, µs of CPU for each request: median (middle half) of {rounds} rounds")
        rows = [
            _row(name, [s for s in samples if (s.peer, s.mode) == (name, mode)]) for name in names
        ]
        show([("session", "app", "nginx", "store", "requests/s", "p99 ms"), *rows])
    if {_FLOOR, _REFERENCE} <= set(names):
        say("\nsession tax: app µs above the same views without a session, and its ratio to blob's")
        header = ["session", *(f"{mode}, {unit}" for mode in modes for unit in ("µs", "x blob"))]
        show([header, *(_tax(name, samples, modes) for name in names if name != _FLOOR)])
    lines = len(contract.SKUS)
    say(f"\nstore's memory for a session with {lines} lines (MEMORY USAGE), bytes")
    show([("session", "bytes"), *((name, str(size)) for name, size in sizes.items())])
    options = {"modes": modes, "rounds": rounds, "seconds": seconds, "workers": workers,
               "worker_class": worker_class}  # fmt: skip
    raw.save(
        "session",
        {
            "options": options,
            "sessions": SESSIONS,
            "connections": CONNECTIONS,
            "generator": generator,
            "samples": [asdict(sample) for sample in samples],
            "memory": sizes,
        },
    )


def _row(name: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    return (
        name,
        *(spread([getattr(sample, figure) for sample in samples])
          for figure in ("app_us", "nginx_us", "store_us", "per_second")),
        spread([sample.p99_ms for sample in samples], 1),
    )  # fmt: skip


def _tax(name: str, samples: Sequence[Sample], modes: Sequence[str]) -> list[str]:
    cost = {(sample.mode, sample.peer, sample.round): sample.app_us for sample in samples}
    rounds = sorted({sample.round for sample in samples})
    cells = [name]
    for mode in modes:
        # Within each round, so that what slowed one round slows both sides.
        mine, reference = (
            [cost[mode, peer, number] - cost[mode, _FLOOR, number] for number in rounds]
            for peer in (name, _REFERENCE)
        )
        cells += (spread(mine), ratio(mine, reference))
    return cells
