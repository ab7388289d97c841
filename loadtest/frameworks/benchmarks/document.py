"""The table of a comparison and what is needed to judge it, as Markdown and as one HTML file."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from markupsafe import Markup, escape

from loadtest.frameworks.benchmarks import race, table
from loadtest.frameworks.benchmarks.testbed import SESSIONS
from loadtest.frameworks.load import CONNECTIONS, Generator
from loadtest.frameworks.peers import PEERS, Peer
from loadtest.report import pages
from loadtest.report.charts import markup

PROCESSES: Final = 2
"""Of each peer under load."""

_OWN_LOAD: Final = 6
"""The greatest load average of a benchmark alone."""

_REPEAT: Final = """\
## Measure it yourself

```
make bench                                # about seven minutes; wrk and npm make it whole
make bench ARGS='--only unsticky express --rounds 20'
make bench ARGS=--document                # and write this page again
```

Each run leaves its raw data (every sample of every round), this table, and the same as HTML in
`STATE_DIR/bench/`, which is `.state/bench/` unless set.
"""


def measured_peers(data: table.Raw) -> list[Peer]:
    """Return the peers that took part in a comparison."""
    return [peer for peer in PEERS if peer.name in data["still"]]


def markdown(data: table.Raw) -> str:
    """Return the report of a comparison as a Markdown document."""
    peers = measured_peers(data)
    rows = table.rows(data, [peer.name for peer in peers])
    parts = [
        "# Benchmarks: the same cart over other session libraries\n",
        "`make bench ARGS=--document` writes this page from one run; do not edit it by hand.\n",
        table.markdown([peer.title for peer in peers], rows),
        *(text + "\n" for text in _reading(data)),
        "## How each was set up\n",
        _list(f"**{peer.title}**: {peer.settings}. Source: {peer.source}." for peer in peers),
    ]
    if data["skipped"]:
        parts += ["Left out of this run:\n"]
        parts += [_list(f"{name}: {why}." for name, why in data["skipped"].items())]
    parts += ["## Where and how this was measured\n", _surroundings(data) + "\n", _REPEAT]
    return "\n".join(parts)


def write_page(path: Path, data: table.Raw) -> Path:
    """Write the report of a comparison as one HTML file, and return it."""
    peers = measured_peers(data)
    return pages.write(
        path,
        "bench.html",
        data=data,
        peers=peers,
        rows=table.rows(data, [peer.name for peer in peers]),
        settings=[_inline(f"*{p.title}*: {p.settings}. Source: {p.source}.") for p in peers],
        reading=[_inline(text) for text in _reading(data)],
        surroundings=_inline(_surroundings(data)),
    )


def _reading(data: table.Raw) -> tuple[str, str, str]:
    """Return how to read the table: load, races, the rest."""
    options, generator = data["options"], table.generator(data)
    bound = (
        " Locust made the load, because wrk was not installed. It needs more CPU for a request "
        "than some of the applications, so that its own CPU limits the throughput, brings the "
        "ratios of requests/s together, and adds to the latencies. The rows of CPU compare nearly "
        "as they do with wrk."
        if generator is Generator.LOCUST
        else ""
    )
    load = (
        f"Load: {generator} with {CONNECTIONS} connections that never wait (a closed loop), "
        f"through one nginx with one worker over unix sockets; {PROCESSES} processes "
        f"of each application; {SESSIONS} sessions with eight lines in the cart; 80 "
        "`GET /api/cart` to 20 `POST /api/cart/items`. The applications take turns, "
        f"{options['seconds']} seconds each, every other round backwards, {options['rounds']} "
        "rounds. A figure is the median of the rounds, with the middle half of them in brackets. "
        "Behind × is its ratio to Unsticky, with its 90 % interval in brackets if the rounds are "
        "drawn again. The best of a row is bold. Latencies under a load without pauses show the "
        "order of the applications, not how long users wait. On another machine only the ratios "
        "count."
        f"{bound}"
    )
    races = (
        f"Races: {race.ADDITIONS} additions to one cart, {race.IN_FLIGHT} in flight, "
        f"{race.PROCESSES} processes, five articles in turn (a line holds 99 at most). *Lost* was "
        "acknowledged with 200 and is not in the cart; *refused* was answered with 409, so that "
        f"its client knows. Then {options['logouts']} logouts, each with {race.LATE_WRITERS} "
        "requests in flight that had read the session before it and add to the cart after it. "
        "*Revived* are the browsers that are logged in again after all answers. Least and most of "
        f"{options['races']} rounds."
    )
    rest = (
        "The store counts round trips and bytes, one request after the other; what happens inside "
        "a script is not counted. The memory of a worker is its proportional set size after the "
        "load, that of a session is from `MEMORY USAGE`. "
        f"{generator} keeps no cookies, so that Flask's cookie always carries the same cart."
    )
    return load, races, rest


def _surroundings(data: table.Raw) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in data["packages"].items())
    load = data["load_averages"]
    others = (
        " That is more than the benchmark alone makes: other work ran on the machine. It lowers "
        "throughput, most for servers that answer many requests in one turn (Express, Starlette, "
        "gevent)."
        if max(load) > _OWN_LOAD
        else ""
    )
    return (
        f"{data['time'][:10]}; {data['machine']}; {data['python']}; {versions}. Load average of "
        f"the machine during the rounds: {min(load):.1f} to {max(load):.1f}, with the benchmark's "
        f"own processes.{others} For all alike, the store does not persist, access logs are off on "
        "both tiers, and workers are not recycled. All cookies go over plain HTTP, so that none is "
        "`Secure`."
    )


def _list(items: Iterable[str]) -> str:
    return "".join(f"- {item}\n" for item in items)


def _inline(line: str) -> Markup:
    """Return a line of our Markdown as HTML: code, emphasis and addresses."""
    text = str(escape(line))
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text)
    text = re.sub(r"(https://[^\s<]+?)(?=[.,]?(?:\s|$))", r'<a href="\1">\1</a>', text)
    return markup(text)
