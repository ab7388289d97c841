"""The cost of distance: the same cart with a store that is some milliseconds away.

A relay in front of the store makes each round trip longer. Throughput is from a closed loop, the
p99 from requests that arrive at a fixed rate.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import psutil

from loadtest.frameworks import servers, variants
from loadtest.frameworks.benchmarks import report
from loadtest.frameworks.benchmarks.report import Raw, Report
from loadtest.frameworks.benchmarks.spread import ratio, spread
from loadtest.frameworks.benchmarks.task import Task
from loadtest.frameworks.benchmarks.testbed import PROCESSES, under_load
from loadtest.frameworks.relay import relay
from loadtest.frameworks.servers import Running

PEERS: Final = ("unsticky", "blob", "flask-session")
DELAYS: Final = (0.0, 1.0, 5.0)
"""Of a round trip, in ms."""

ROUNDS: Final = 4
RATE: Final = 100
"""Requests/s of the open loop: what each one can answer from the farthest store."""

# Fewer than elsewhere: each is made over the far store.
_SESSIONS = 25
_WARM_SECONDS = 1


def measure(task: Task) -> Path:
    """Measure each peer with each worker class at each distance; return the file with raw data.

    Its own options are `worker_classes` and `delays` in ms.

    Raises:
        LoadTestError: one cannot be started, or fails.
    """
    options, peers = task.options, task.peers
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
        with under_load(described, PROCESSES, task.generator, sessions=_SESSIONS) as bed:
            bed.warm_up(_WARM_SECONDS)
            before = _cpu(relays)
            samples = task.closed_loop(bed)
            turns = options["rounds"] * len(peers) * len(options["worker_classes"])
            # Of one core, while the applications behind it were loaded.
            shares = {
                f"{delay:g}": (now - before[delay]) / (turns * options["seconds"])
                for delay, now in _cpu(relays).items()
            }
            arrived = task.open_loop(bed)
    servers_by_name = {each.name: about for each, about in described.items()}
    return task.save("distance", bed, servers_by_name, (samples, arrived), relays=shares)


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
        {"sessions": _SESSIONS},
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
