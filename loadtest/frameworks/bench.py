"""`make bench`: the same cart over Unsticky and its peers, in turn, as one table.

Requests per second, latency, CPU of every tier, round trips and bytes to the store, memory, lost
updates and revived sessions. Each peer runs as its own documentation says for production.
"""

import argparse
import json
from pathlib import Path

from bench import record
from bench.console import BenchError, print_table, run, say
from bench.load import generator

from peers import measurement, node, report, table
from peers.fleet import PEERS, Peer

_DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
_NAMES = [peer.name for peer in PEERS]


def main() -> None:
    """Measure, print the table, keep it with the raw data."""
    options = _options()
    if options.again:
        _write(options.again, document=options.document)
        return
    asking = generator()
    peers, skipped = _present([peer for peer in PEERS if peer.name in options.only])
    parameters = measurement.Parameters(
        options.rounds, options.seconds, options.races, options.logouts, asking
    )
    results = measurement.run(peers, parameters)
    named = {name for peer in peers for name in peer.packages}
    path = record.save(
        "peers",
        {
            "options": {name: str(value) if isinstance(value, Path) else value
                        for name, value in vars(options).items()},
            "generator": asking,
            "skipped": skipped,
            **results.document(),
        },
        packages=(*record.PACKAGES, *sorted(named)),
        more=node.versions() if "express" in results.still else {},
    )  # fmt: skip
    _write(path, document=options.document)


def _present(peers: list[Peer]) -> tuple[list[Peer], dict[str, str]]:
    """Part those that can run here from those that cannot, and say why."""
    skipped = {peer.name: why for peer in peers if (why := peer.lacks())}
    for name, why in skipped.items():
        say(f"{name} is left out: {why}")
    present = [peer for peer in peers if peer.name not in skipped]
    if not present:
        raise BenchError(f"nothing is left to measure; there are {', '.join(_NAMES)}")
    return present, skipped


def _write(path: Path, *, document: bool) -> None:
    """Print the table of a run, and write it beside the raw data."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        peers = report.measured_peers(raw)
        rows = table.rows(raw, [peer.name for peer in peers])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(
            f"{path} is no raw data of a run ({error!r}): name a peers-*.json"
        ) from None
    # On a terminal, the peers go down: there are more of them than a line has room for.
    for row in rows:
        say()
        print_table(
            (row.label, "", ""),
            [(peer.title, cell.text, cell.ratio)
             for peer, cell in zip(peers, row.cells, strict=True)],
        )  # fmt: skip
    text = report.markdown(raw)
    for suffix, content in ((".md", text), (".html", report.hypertext(raw))):
        path.with_suffix(suffix).write_text(content, encoding="utf-8")
    if document:
        _DOCUMENT.write_text(text, encoding="utf-8")
        say(f"written: {_DOCUMENT}")
    say(f"raw data: {path}, the table beside it as .md and .html")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=_NAMES, default=_NAMES, metavar="PEER", help=", ".join(_NAMES)
    )
    parser.add_argument("--without", nargs="+", choices=_NAMES, default=[], metavar="PEER")
    parser.add_argument("--rounds", type=int, default=8, help="of load")
    parser.add_argument("--seconds", type=int, default=3, help="of load for each sample")
    parser.add_argument("--races", type=int, default=5, help="rounds of both races")
    parser.add_argument("--logouts", type=int, default=10, help="in each race")
    parser.add_argument("--document", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--again", type=Path, metavar="FILE",
                        help="measure nothing: make the table of this raw data")  # fmt: skip
    options = parser.parse_args()
    options.only = [name for name in options.only if name not in options.without]
    if options.rounds < 2:
        parser.error("--rounds must be 2 or more: there is no spread in one")
    if min(options.seconds, options.races, options.logouts) < 1:
        parser.error("--seconds, --races and --logouts must be 1 or more")
    return options


if __name__ == "__main__":
    run(main)
