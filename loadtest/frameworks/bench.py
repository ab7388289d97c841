"""`make bench`: this library's sessions beside others, in five benchmarks.

`peers` compares the same cart over all peers in one table, and `stores` over all stores;
`anomalies` counts what they lose and revive; `session` and `page` are about Flask's sessions
alone. Each keeps its raw data in STATE_DIR/bench/.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtest.console import say
from loadtest.errors import LoadTestError
from loadtest.frameworks import load
from loadtest.frameworks.benchmarks import comparison, findings, page, session
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
}
_BENCHMARKS: Final = tuple(_DEFAULTS)
_UNDER_LOAD: Final = {"peers", "stores", "session"}


def main(arguments: Sequence[str]) -> None:
    """Run the benchmarks that the arguments name.

    Raises:
        LoadTestError: one could not be made.
    """
    options = _parsed(arguments)
    if options.again:
        is_of_anomalies = options.again.name.startswith("anomalies-")
        write = findings.write if is_of_anomalies else comparison.write
        write(options.again, is_documented=options.document)
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
                comparison.write(path, is_documented=options.document)
            case "anomalies":
                path = findings.measure(peers, skipped, rounds or 5, options.tries)
                findings.write(path, is_documented=options.document)
            case "session":
                for worker_class in options.worker_classes or ["sync"]:
                    session.measure(
                        peers, generator, modes=options.modes, rounds=rounds or 15,
                        seconds=seconds or 1, workers=options.workers, worker_class=worker_class,
                    )  # fmt: skip
            case "page":
                page.measure(peers, loads=options.loads, seconds=seconds or 300)


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
        "--rounds", type=_count, help="by default: peers, stores 8; anomalies 5, session 15"
    )
    parser.add_argument(
        "--seconds",
        type=_count,
        help="of load: peers, stores 3; session 1 a sample; page 300 a peer",
    )
    parser.add_argument(
        "--tries", type=_count, default=10, help="anomalies: of each, with each peer"
    )
    parser.add_argument("--loads", type=_count, default=1000, help="page: of each peer")
    parser.add_argument(
        "--worker-classes", nargs="+", choices=("sync", "gthread", "gevent"), metavar="CLASS",
        help="session: by default sync",
    )  # fmt: skip
    parser.add_argument("--workers", type=_count, default=2, help="session: processes of each peer")
    parser.add_argument("--modes", nargs="+", choices=session.MODES, default=session.MODES,
                        help="session")  # fmt: skip
    parser.add_argument(
        "--document", action="store_true", help="peers, stores, anomalies: write its page in docs/"
    )
    parser.add_argument("--again", type=Path, metavar="FILE",
                        help="measure nothing: make the table of this raw data")  # fmt: skip
    options = parser.parse_args(arguments)
    spreads = not {"anomalies", "page"} & set(options.only) or _UNDER_LOAD & set(options.only)
    if options.rounds == 1 and spreads:
        parser.error("--rounds must be 2 or more: one round has no spread")
    return options
