"""The cost of distance: the same cart with a store that is some milliseconds away.

A relay in front of the store makes each round trip longer. Throughput is from a closed loop, the
p99 from requests that arrive at a fixed rate.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil

from loadtest.frameworks import raw, servers, variants
from loadtest.frameworks.benchmarks import report
from loadtest.frameworks.benchmarks.report import Raw, Report
from loadtest.frameworks.benchmarks.spread import ratio, spread
from loadtest.frameworks.benchmarks.testbed import under_load
from loadtest.frameworks.load import CONNECTIONS, Generator
from loadtest.frameworks.peers import Peer
from loadtest.frameworks.relay import relay
from loadtest.frameworks.servers import Running

PEERS: Final = ("unsticky", "blob", "flask-session")
DELAYS: Final = (0.0, 1.0, 5.0)
"""Of a round trip, in ms."""

PROCESSES: Final = 2
ROUNDS: Final = 4
RATE: Final = 100
"""Requests/s of the open loop: what each one can answer from the farthest store."""

# Fewer than elsewhere: each is made over the far store.
_SESSIONS = 25
_WARM_SECONDS = 1


def measure(
    peers: Sequence[Peer],
    skipped: Mapping[str, str],
    generator: Generator,
    options: Mapping[str, Any],
) -> Path:
    """Measure each peer with each worker class at each distance; return the file with raw data.

    The options are `worker_classes`, `delays` in ms, `rounds`, `seconds` of each closed loop, and
    `rate` per second.

    Raises:
        LoadTestError: one cannot be started, or fails.
    """
    rounds, seconds, rate = options["rounds"], options["seconds"], options["rate"]
    with _relays(options["delays"]) as (store, relays):
        described = {
            variants.of(
                peer,
                f"{peer.name}-{worker_class}-{delay:g}",
                worker_class=worker_class,
                # The store's CPU is not the relay's.
                server_at=Running(store.pid, relays[delay].socket),
            ): {"peer": peer.title, "worker_class": worker_class, "delay": delay}
            for peer, worker_class, delay in itertools.product(
                peers, options["worker_classes"], options["delays"]
            )
        }
        with under_load(described, PROCESSES, generator, sessions=_SESSIONS) as bed:
            bed.warm_up(_WARM_SECONDS)
            before = _cpu(relays)
            samples = bed.samples(["mix"], rounds, seconds)
            loaded = rounds * seconds * len(peers) * len(options["worker_classes"])
            # Of one core, while the applications behind it were loaded.
            shares = {
                f"{delay:g}": (now - before[delay]) / loaded for delay, now in _cpu(relays).items()
            }
            arrived = bed.arrivals(rate, rounds, 2 * seconds)
    return raw.save(
        "distance",
        {
            "table": "distance",
            "options": {**options},
            "generator": generator,
            "skipped": skipped,
            "load_averages": bed.load_averages,
            "servers": {each.name: about for each, about in described.items()},
            "samples": [asdict(sample) for sample in samples],
            "arrivals": [asdict(each) for each in arrived],
            "relays": shares,
        },
    )


def told(data: Raw) -> Report:
    """Return the table of a run."""
    delays, described = data["options"]["delays"], data["servers"]
    header = ["session", "workers"]
    for delay in delays:
        header += [f"requests/s, {delay:g} ms", f"p99, {delay:g} ms"]
    rows: dict[tuple[str, str], list[str]] = {}
    for name, each in described.items():
        row = rows.setdefault((each["peer"], each["worker_class"]), [])
        row += [
            spread(report.of(data["samples"], name, "per_second")),
            spread(report.of(data["arrivals"], name, "p99_ms"), 1),
        ]
    return Report(
        "Benchmarks: the distance to the store",
        "distance",
        [header, *([*about, *cells] for about, cells in rows.items())],
        _conclusion(data),
        _facts(data),
    )


def _conclusion(data: Raw) -> str:
    """Say for each worker class of the first peer what the farthest store leaves of its rate."""
    delays, described = data["options"]["delays"], data["servers"]
    near, far = min(delays), max(delays)
    if near == far:
        return f"One distance, {near:g} ms: there is nothing to compare."
    title = next(iter(described.values()))["peer"]
    rates = {
        (each["worker_class"], each["delay"]): report.of(data["samples"], name, "per_second")
        for name, each in described.items()
        if each["peer"] == title
    }
    shares = [
        f"{worker_class} × {ratio(rates[worker_class, far], rates[worker_class, near])}"
        for worker_class in dict.fromkeys(worker_class for worker_class, _ in rates)
    ]
    return f"{title}, requests/s at {far:g} ms to those at {near:g} ms: {', '.join(shares)}."


def _facts(data: Raw) -> dict[str, Any]:
    lates = [each["late_ms"] for each in data["arrivals"]]
    return {
        "connections": CONNECTIONS,
        "processes": PROCESSES,
        "late": (min(lates), max(lates)),
        "sessions": _SESSIONS,
    }


@contextmanager
def _relays(delays: Sequence[float]) -> Iterator[tuple[Running, dict[float, Running]]]:
    """Run a store, and a relay in front of it for each delay, also for none."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="far-")))
        store = stack.enter_context(servers.store(folder))
        yield (
            store,
            {delay: stack.enter_context(relay(store, folder, delay)) for delay in delays},
        )


def _cpu(relays: Mapping[float, Running]) -> dict[float, float]:
    """Return the CPU seconds of each relay so far."""
    times = {delay: psutil.Process(each.pid).cpu_times() for delay, each in relays.items()}
    return {delay: each.user + each.system for delay, each in times.items()}
