"""`make bench`: this library's sessions beside others, and under other servers.

`peers` compares the same cart over all peers in one table, and `stores` over all stores;
`anomalies` counts what they lose and revive; `session` and `page` are about Flask's sessions alone;
`servers`, `distance` and `size` show what a session costs with other workers, a far store and many
sessions. Each keeps its raw data in STATE_DIR/bench/.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtest.console import say
from loadtest.errors import LoadTestError
from loadtest.frameworks import interpreters, load, options, raw
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
from loadtest.frameworks.benchmarks.task import Task
from loadtest.frameworks.load import Generator
from loadtest.frameworks.peers import PEERS, Peer, named

_ALONE: Final = {"servers": workers, "distance": distance, "size": size}


def main(arguments: Sequence[str]) -> None:
    """Run the benchmarks that the arguments name.

    Raises:
        LoadTestError: one could not be made.
    """
    given = options.parsed(arguments, __doc__)
    if given.again:
        _write(given.again, is_documented=given.document)
        return
    made = [(name, *_present(name, given)) for name in given.benchmarks]
    is_loaded = not options.UNDER_LOAD.isdisjoint(given.benchmarks)
    generator = load.generator() if is_loaded else Generator.WRK
    for name, peers, skipped in made:
        rounds, seconds = given.rounds, given.seconds
        match name:
            case "peers" | "stores":
                path = comparison.measure(name, peers, skipped, generator, {
                    "rounds": rounds or 8, "seconds": seconds or 3,
                })  # fmt: skip
                _write(path, is_documented=given.document)
            case "anomalies":
                path = findings.measure(peers, skipped, rounds or 5, given.tries or 10)
                _write(path, is_documented=given.document)
            case "session":
                for worker_class in given.worker_classes or ["sync"]:
                    session.measure(
                        peers, generator, modes=given.modes or session.MODES, rounds=rounds or 15,
                        seconds=seconds or 1, workers=given.workers or 2, worker_class=worker_class,
                    )  # fmt: skip
            case "page":
                page.measure(peers, loads=given.loads or 1000, seconds=seconds or 300)
            case "servers" | "distance" | "size":
                benchmark = _ALONE[name]
                path = benchmark.measure(Task(peers, skipped, generator, {
                    "rounds": rounds or benchmark.ROUNDS,
                    "seconds": seconds or 2,
                    "worker_classes": given.worker_classes or workers.WORKER_CLASSES,
                    "pythons": given.pythons or [],
                    "parsers": given.parsers or interpreters.PARSERS,
                    "deploys": given.deploys or 3,
                    "delays": given.delays or distance.DELAYS,
                    "sizes": given.sizes or size.SIZES,
                    "rate": given.rate or benchmark.RATE,
                }))  # fmt: skip
                _write(path, is_documented=given.document)


def _write(path: Path, *, is_documented: bool) -> None:
    """Print the table of raw data, and write it beside them."""
    name = path.name.partition("-")[0]
    if name in _ALONE:
        data, told = raw.read(path, name, _ALONE[name].told)
        report.write(path, data, told, is_documented=is_documented)
    elif name == "anomalies":
        findings.write(path, is_documented=is_documented)
    else:
        comparison.write(path, is_documented=is_documented)


def _present(benchmark: str, given: argparse.Namespace) -> tuple[list[Peer], dict[str, str]]:
    """Return the peers of a benchmark that can run here; and those that cannot, with the reason.

    Raises:
        LoadTestError: none can.
    """
    named_peers = [peer.name for peer in PEERS if peer.name in given.only]
    wanted = named_peers or options.DEFAULTS[benchmark]
    peers = named([name for name in wanted if name not in given.without])
    skipped = {
        peer.name: why for peer in peers if (why := options.unfit(peer, benchmark) or peer.lacks())
    }
    for name, why in skipped.items():
        say(f"{name} is left out: {why}")
    present = [peer for peer in peers if peer.name not in skipped]
    if not present:
        fit = [peer.name for peer in PEERS if not options.unfit(peer, benchmark)]
        raise LoadTestError(
            f"nothing is left to measure for {benchmark}", f"it takes {', '.join(fit)}"
        )
    return present, skipped
