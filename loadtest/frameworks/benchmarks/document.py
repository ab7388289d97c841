"""The table of a comparison and what is needed to judge it, as Markdown and as one HTML file."""

from pathlib import Path
from typing import Any

from loadtest import machine
from loadtest.frameworks.benchmarks import table
from loadtest.frameworks.benchmarks.testbed import PROCESSES, SESSIONS
from loadtest.frameworks.load import CONNECTIONS
from loadtest.frameworks.peers import PEERS, Peer
from loadtest.report import pages

_DOCS = machine.CHECKOUT / "docs"


def measured_peers(data: table.Raw) -> list[Peer]:
    """Return the peers that took part in a comparison."""
    return [peer for peer in PEERS if peer.name in data["still"]]


def table_of(data: table.Raw) -> str:
    """Return which comparison it is, `peers` or `stores`; the first runs did not name theirs."""
    return str(data.get("table", "peers"))


def markdown(data: table.Raw) -> str:
    """Return the report of a comparison as a Markdown document."""
    return f"{pages.rendered('bench.md', **_values(data))}\n"


def write_page(path: Path, data: table.Raw) -> Path:
    """Write the report of a comparison as one HTML file, and return it."""
    return pages.write(path, "bench.html", **_values(data))


def _values(data: table.Raw) -> dict[str, Any]:
    peers = measured_peers(data)
    return {
        "data": data,
        "is_of_stores": table_of(data) == "stores",
        "persists": False,
        "others": [page.name for page in sorted(_DOCS.glob("benchmarks-*.md"))],
        "peers": peers,
        "rows": table.rows(data, [peer.name for peer in peers]),
        "generator": table.generator(data),
        "connections": CONNECTIONS,
        "processes": PROCESSES,
        "sessions": SESSIONS,
    }
