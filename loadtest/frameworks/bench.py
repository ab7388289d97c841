"""`make bench`: this library's sessions beside others, and under other servers.

`peers` compares the same cart over all peers in one table, and `stores` over all stores;
`anomalies` counts what they lose and revive; `session` and `page` are about Flask's sessions alone;
`servers`, `distance` and `size` show what a session costs with other workers, a far store and many
sessions. Each keeps its raw data in STATE_DIR/bench/.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtest.console import say
from loadtest.errors import LoadTestError
from loadtest.frameworks import interpreters, load
from loadtest.frameworks.benchmarks import (
    comparison,
    distance,
    findings,
    page,
    report,
    session,
    size,
    workers,
)
from loadtest.frameworks.load import Generator
from loadtest.frameworks.peers import PEERS, Peer, named

_NAMES: Final = tuple(peer.name for peer in PEERS)
_DEFAULTS: Final = {
    **{
        table: tuple(peer.name for peer in PEERS if table in peer.tables)
        for table in ("peers", "stores", "anomalies")
    },
    "session": session.PEERS,
    "page": page.PEERS,
    "servers": ("unsticky",),
    "distance": distance.PEERS,
    "size": ("unsticky",),
}
_BENCHMARKS: Final = tuple(_DEFAULTS)
_ALONE: Final = {"servers": workers, "distance": distance, "size": size}
_UNDER_LOAD: Final = {"peers", "stores", "session", *_ALONE}
# Farther away, the library's own deadline ends requests.
_MOST_DELAY_MS: Final = 100


def main(arguments: Sequence[str]) -> None:
    """Run the benchmarks that the arguments name.

    Raises:
        LoadTestError: one could not be made.
    """
    options = _parsed(arguments)
    if options.again:
        _write(options.again, is_documented=options.document)
        return
    benchmarks = [name for name in _BENCHMARKS if name in options.only] or ["peers"]
    generator = load.generator() if _UNDER_LOAD & set(benchmarks) else Generator.WRK
    for name in benchmarks:
        peers, skipped = _present(name, options)
        rounds, seconds = options.rounds, options.seconds
        match name:
            case "peers" | "stores":
                path = comparison.measure(name, peers, skipped, generator, {
                    "rounds": rounds or 8, "seconds": seconds or 3,
                })  # fmt: skip
                _write(path, is_documented=options.document)
            case "anomalies":
                path = findings.measure(peers, skipped, rounds or 5, options.tries)
                _write(path, is_documented=options.document)
            case "session":
                for worker_class in options.worker_classes or ["sync"]:
                    session.measure(
                        peers, generator, modes=options.modes, rounds=rounds or 15,
                        seconds=seconds or 1, workers=options.workers, worker_class=worker_class,
                    )  # fmt: skip
            case "page":
                page.measure(peers, loads=options.loads, seconds=seconds or 300)
            case "servers" | "distance" | "size":
                path = _ALONE[name].measure(
                    peers,
                    skipped,
                    generator,
                    {
                        "rounds": rounds or _ALONE[name].ROUNDS,
                        "seconds": seconds or 2,
                        "worker_classes": options.worker_classes or workers.WORKER_CLASSES,
                        "pythons": options.pythons,
                        "parsers": options.parsers,
                        "deploys": options.deploys,
                        "delays": options.delays,
                        "sizes": options.sizes,
                        "rate": options.rate or _ALONE[name].RATE,
                    },
                )
                _write(path, is_documented=options.document)


def _write(path: Path, *, is_documented: bool) -> None:
    """Print the table of raw data, and write it beside them."""
    name = path.name.partition("-")[0]
    if name not in _ALONE:
        write = findings.write if name == "anomalies" else comparison.write
        write(path, is_documented=is_documented)
        return
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        told = _ALONE[name].told(data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadTestError(
            f"{path} is no raw data of {name} ({error!r})", f"name a file {name}-*.json"
        ) from None
    report.write(path, data, told, is_documented=is_documented)


def _present(benchmark: str, options: argparse.Namespace) -> tuple[list[Peer], dict[str, str]]:
    """Return the peers of a benchmark that can run here; and those that cannot, with the reason.

    Raises:
        LoadTestError: none can.
    """
    wanted = [name for name in options.only if name in _NAMES] or _DEFAULTS[benchmark]
    peers = named([name for name in wanted if name not in options.without])
    skipped = {peer.name: why for peer in peers if (why := _lacks(peer, benchmark))}
    for name, why in skipped.items():
        say(f"{name} is left out: {why}")
    present = [peer for peer in peers if peer.name not in skipped]
    if not present:
        raise LoadTestError("nothing is left to measure", f"the peers are {', '.join(_NAMES)}")
    return present, skipped


def _lacks(peer: Peer, benchmark: str) -> str | None:
    if benchmark == "page" and not peer.kind:
        return "the page is a Flask application"
    if benchmark in {"page", "anomalies"} and peer.kind == "none":
        return "it has no session"
    if benchmark in {"page", "anomalies"} and peer.has_one_process:
        return "it has one process"
    return peer.lacks()


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return count


def _delay(text: str) -> float:
    if not 0 <= (delay := float(text)) <= _MOST_DELAY_MS:
        raise argparse.ArgumentTypeError(f"must be 0 to {_MOST_DELAY_MS}")
    return delay


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    names = (*_BENCHMARKS, *_NAMES)
    parser.add_argument(
        "--only", nargs="+", choices=names, default=[], metavar="NAME",
        help=f"benchmarks ({', '.join(_BENCHMARKS)}; by default peers)\n"
        f"and peers ({', '.join(_NAMES)})",
    )  # fmt: skip
    parser.add_argument("--without", nargs="+", choices=_NAMES, default=[], metavar="PEER")
    parser.add_argument(
        "--rounds",
        type=_count,
        help="by default: peers, stores 8; anomalies 5, session 15, servers 6,\ndistance 4, size 8",
    )
    parser.add_argument(
        "--seconds",
        type=_count,
        help="of load: peers, stores 3; session 1 a sample; page 300 a peer; others 2",
    )
    parser.add_argument(
        "--tries", type=_count, default=10, help="anomalies: of each, with each peer"
    )
    parser.add_argument("--loads", type=_count, default=1000, help="page: of each peer")
    parser.add_argument(
        "--worker-classes", nargs="+", choices=workers.WORKER_CLASSES, metavar="CLASS",
        help="servers, distance: by default all; session: by default sync",
    )  # fmt: skip
    parser.add_argument(
        "--servers",
        action="store_const",
        const=["servers"],
        dest="only",
        help="the same as --only servers",
    )
    parser.add_argument(
        "--pythons",
        nargs="+",
        default=[],
        metavar="PYTHON",
        help=f"servers: programs or versions; by default {', '.join(interpreters.WANTED)} and the "
        "newest",
    )
    parser.add_argument(
        "--parsers",
        nargs="+",
        choices=interpreters.PARSERS,
        default=interpreters.PARSERS,
        help="servers: of Gunicorn",
    )
    parser.add_argument("--deploys", type=_count, default=3, help="servers: of each")
    parser.add_argument(
        "--delays",
        nargs="+",
        type=_delay,
        default=distance.DELAYS,
        metavar="MS",
        help="distance: round trips to the store, by default 0, 1 and 5 ms",
    )
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=_count,
        default=size.SIZES,
        metavar="SESSIONS",
        help="size: by default 1,000 to 1,000,000",
    )
    parser.add_argument(
        "--rate",
        type=_count,
        help="requests/s that arrive; by default: servers, size 400; distance 100",
    )
    parser.add_argument("--workers", type=_count, default=2, help="session: processes of each peer")
    parser.add_argument("--modes", nargs="+", choices=session.MODES, default=session.MODES,
                        help="session")  # fmt: skip
    parser.add_argument(
        "--document",
        action="store_true",
        help="all but session and page: write its page in docs/",
    )
    parser.add_argument("--again", type=Path, metavar="FILE",
                        help="measure nothing: make the table of this raw data")  # fmt: skip
    options = parser.parse_args(arguments)
    spreads = not {"anomalies", "page"} & set(options.only) or _UNDER_LOAD & set(options.only)
    if options.rounds == 1 and spreads:
        parser.error("--rounds must be 2 or more: one round has no spread")
    return options
