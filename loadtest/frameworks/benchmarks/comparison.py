"""The comparison: all peers under the same load in turn.

Requests per second, latency, CPU of every tier, round trips and bytes to the store, and memory, in
one table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from loadtest import machine
from loadtest.console import say, show
from loadtest.frameworks import mongodb, node, raw
from loadtest.frameworks.benchmarks import document
from loadtest.frameworks.benchmarks import table as figures
from loadtest.frameworks.benchmarks.testbed import (
    PROCESSES,
    Testbed,
    filled_cart,
    under_load,
    worker_bytes,
)
from loadtest.frameworks.benchmarks.traffic import MongoMeter, RedisMeter, Traffic
from loadtest.frameworks.load import Generator
from loadtest.frameworks.peers import Peer

_DOCUMENTS: Final = {
    "peers": machine.CHECKOUT / "docs" / "benchmarks.md",
    "stores": machine.CHECKOUT / "docs" / "benchmarks-stores.md",
}
# Node gets faster for the first 10,000 requests; imports, caches and connections need less.
_WARM_SECONDS: Final = 6


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


def measure(
    table: str,
    peers: Sequence[Peer],
    skipped: Mapping[str, str],
    generator: Generator,
    options: Mapping[str, Any],
) -> Path:
    """Compare the peers, and return the file with the raw data, which also says who is skipped.

    The table is `peers` or `stores`. The options are `rounds` and `seconds` of load.

    Raises:
        LoadTestError: one cannot be started, or answers wrongly.
    """
    with under_load(peers, PROCESSES, generator) as bed:
        traffics = _traffic(bed)
        bed.warm_up(_WARM_SECONDS)
        samples = bed.samples(["mix"], options["rounds"], options["seconds"])
        still = {
            peer.name: Still(*traffics[peer], worker_bytes(app, PROCESSES), bed.session_bytes(peer))
            for peer, app in bed.apps.items()
        }
    return raw.save(
        table,
        {
            "table": table,
            "mongodb": mongodb.description() if "mongodb" in {p.place for p in peers} else "",
            "options": options,
            "generator": generator,
            "skipped": skipped,
            "load_averages": bed.load_averages,
            "samples": [asdict(sample) for sample in samples],
            "still": {name: asdict(each) for name, each in still.items()},
        },
        packages=raw.packages(peers),
        more=node.versions() if "express" in still else {},
    )


def write(path: Path, *, is_documented: bool) -> None:
    """Print the table of a comparison, and write it beside the raw data.

    Raises:
        LoadTestError: the file holds something else.
    """
    data, (peers, rows) = raw.read(path, "a comparison", _told, "peers-*.json or stores")
    # One peer a line: there are more of them than a terminal has room for in a row.
    for row in rows:
        say()
        cells = zip(peers, row.cells, strict=True)
        lines = [(peer.title, cell.text, cell.ratio) for peer, cell in cells]
        show([(row.label, "", ""), *lines])
    text = document.markdown(data)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    document.write_page(path.with_suffix(".html"), data)
    if is_documented:
        page = _DOCUMENTS[document.table_of(data)]
        page.write_text(text, encoding="utf-8")
        say(f"written: {page}")
    say(f"the same table: {path.with_suffix('.html')} and .md")


def _told(data: dict[str, Any]) -> tuple[list[Peer], list[figures.Row]]:
    peers = document.measured_peers(data)
    return peers, figures.rows(data, [peer.name for peer in peers])


def _traffic(bed: Testbed) -> dict[Peer, tuple[Traffic, Traffic]]:
    found = {}
    for peer, app in bed.apps.items():
        meter = MongoMeter() if peer.place == "mongodb" else RedisMeter(bed.store)
        browser = filled_cart(app.socket)
        found[peer] = (meter.of_reads(browser), meter.of_adds(browser))
        meter.close()
    return found
