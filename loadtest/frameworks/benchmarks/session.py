"""`make bench-session`: what a session costs a request, beside others.

CPU time of the application's workers for each request, through nginx over unix sockets: for the
view without a session, over a bare blob session, over this library and over Flask-Session; reading
the cart, adding to it, and 80 reads to 20 adds. The kinds take turns, in short rounds and every
other one backwards, so that what else the machine does meets all of them alike.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import redis

from . import record, servers
from .browser import Browser
from .calls import BENCH
from .carts import EIGHT_LINES, application
from .console import BenchError, print_table, run, say
from .kinds import Kind
from .load import CONNECTIONS, Generator, Load, Target, generator
from .spread import ratio, spread

KINDS: Final = (Kind.NONE, Kind.BLOB, Kind.UNSTICKY, Kind.FLASK_SESSION)
MODES: Final = ("read", "add", "mix")
SESSIONS: Final = 200

_KEYS = {Kind.BLOB: "blob:*", Kind.UNSTICKY: "unsticky:*:s:*", Kind.FLASK_SESSION: "session:*"}


@dataclass(frozen=True)
class Sample(Load):
    """One kind under one load in one round."""

    round: int
    mode: str
    kind: Kind


class Bench:
    """The servers of one run, and one sample at a time taken from them."""

    def __init__(self, targets: Mapping[Kind, Target]) -> None:
        self._targets = targets

    def prepare(self) -> None:
        """Make the sessions of every kind, each with an eight-line cart, and their cookies."""
        for kind, target in self._targets.items():
            headers = []
            for _ in range(SESSIONS):
                browser = Browser(target.app.socket)
                # The second makes it a session in use.
                for method, body in (("PUT", EIGHT_LINES), ("GET", None)):
                    status, _ = browser.ask(method, target.calls.cart, body)
                    if status != 200:
                        raise BenchError(f"{kind} answered {status} to {method} /cart")
                headers.append(browser.header() or "session=none")
            target.cookies.write_text("\n".join(headers) + "\n", encoding="ascii")

    def sample(self, number: int, mode: str, kind: Kind, seconds: int) -> Sample:
        """Load one kind and return what it cost.

        Raises:
            BenchError: a request failed, or a worker ended meanwhile.
        """
        load = self._targets[kind].load(mode, seconds)
        return Sample(**asdict(load), round=number, mode=mode, kind=kind)

    def memory(self) -> dict[Kind, int]:
        """Return the store's bytes for a session with an eight-line cart: the median."""
        measured = {}
        for kind, target in self._targets.items():
            if kind in _KEYS:
                client: Any = redis.Redis.from_url(target.store.url)
                sizes = [
                    client.memory_usage(key, samples=0) for key in client.scan_iter(_KEYS[kind])
                ]
                measured[kind] = int(statistics.median(sizes))
        return measured


def main() -> None:
    """Measure, print the tables, keep the raw data."""
    options = _options()
    asking = generator()
    kinds = [kind for kind in KINDS if kind in options.only]
    samples, memory = _measured(options, kinds, asking)
    for mode in options.modes:
        say(
            f"\n{mode}, µs of CPU for each request: median (middle half) of {options.rounds} rounds"
        )
        print_table(
            ("session", "app", "nginx", "store", "requests/s", "p99 ms"),
            [
                _row(kind, [s for s in samples if (s.kind, s.mode) == (kind, mode)])
                for kind in kinds
            ],
        )
    taxes = _taxes(samples, kinds, options.modes)
    if taxes:
        say("\nsession tax: app µs above the same view without a session, and against the blob's")
        print_table(("session", *(f"{m}, {w}" for m in options.modes for w in ("µs", "x blob"))),
                    taxes)  # fmt: skip
    say(f"\nstore's memory for a session with {len(EIGHT_LINES)} lines (MEMORY USAGE), bytes")
    print_table(("session", "bytes"), [(kind, str(octets)) for kind, octets in memory.items()])
    path = record.save(
        "session",
        {
            "options": vars(options),
            "sessions": SESSIONS,
            "connections": CONNECTIONS,
            "generator": asking,
            "samples": [asdict(sample) for sample in samples],
            "memory": memory,
        },
    )
    say(f"\nraw data: {path}")


def _measured(
    options: argparse.Namespace, kinds: Sequence[Kind], asking: Generator
) -> tuple[list[Sample], dict[Kind, int]]:
    workers = servers.Workers(options.worker_class, options.workers)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        store = stack.enter_context(servers.store(folder))
        apps = {
            kind: stack.enter_context(
                servers.gunicorn(kind, application(kind, store.url), workers, folder)
            )
            for kind in kinds
        }
        nginx, ports = stack.enter_context(servers.nginx(apps, folder))
        bench = Bench(
            {
                kind: Target(
                    kind, app, nginx, store, ports[kind], BENCH, folder / f"{kind}.cookies", asking
                )
                for kind, app in apps.items()
            }
        )
        bench.prepare()
        memory = bench.memory()
        for kind in kinds:
            bench.sample(0, "mix", kind, 1)  # warm: imports, caches, connections
        samples = []
        for number in range(1, options.rounds + 1):
            say(f"round {number} of {options.rounds}, load average {os.getloadavg()[0]:.1f}")
            order = kinds if number % 2 else kinds[::-1]
            for mode in options.modes:
                samples += [bench.sample(number, mode, kind, options.seconds) for kind in order]
        return samples, memory


def _row(kind: Kind, samples: list[Sample]) -> tuple[str, ...]:
    return (
        kind,
        spread([sample.app_us for sample in samples]),
        spread([sample.nginx_us for sample in samples]),
        spread([sample.store_us for sample in samples]),
        spread([sample.per_second for sample in samples]),
        spread([sample.p99_ms for sample in samples], 1),
    )


def _taxes(
    samples: Iterable[Sample], kinds: Sequence[Kind], modes: Iterable[str]
) -> list[tuple[str, ...]]:
    if not {Kind.NONE, Kind.BLOB} <= set(kinds):
        return []
    cost = {(sample.round, sample.mode, sample.kind): sample.app_us for sample in samples}
    rounds = sorted({number for number, _, _ in cost})
    rows = []
    for kind in kinds:
        if kind is Kind.NONE:
            continue
        cells: list[str] = []
        for mode in modes:
            # Within each round, so that what slowed one round slows both sides.
            mine, blob = (
                [cost[number, mode, one] - cost[number, mode, Kind.NONE] for number in rounds]
                for one in (kind, Kind.BLOB)
            )
            cells += (spread(mine), ratio(mine, blob))
        rows.append((kind, *cells))
    return rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-session", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=1, help="of load for each sample")
    parser.add_argument("--only", nargs="+", type=Kind, choices=KINDS, default=list(KINDS))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--worker-class", choices=("sync", "gthread", "gevent"), default="sync")
    parser.add_argument("--workers", type=int, default=2, help="processes for each kind")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("--rounds must be 2 or more: there is no spread in one")
    return options


if __name__ == "__main__":
    run(main)
