"""The table of a run with all that is needed to judge it, as Markdown and as one HTML file."""

import html
import re
from collections.abc import Iterable
from typing import Final

from bench.load import CONNECTIONS, Generator
from bench.race import ADDITIONS, IN_FLIGHT, LATE_WRITERS, PROCESSES

from peers import measurement, table
from peers.fleet import PEERS, Peer

_STYLE: Final = """\
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 90rem; margin: 2rem auto; padding: 0 1rem; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; border-bottom: 1px solid #8884; }
th, td { text-align: right; white-space: nowrap; }
th[scope=row] { text-align: left; font-weight: 400; white-space: normal; }
thead th { vertical-align: bottom; white-space: normal; }
small { display: block; opacity: .7; }
td.best { font-weight: 700; background: #3a83; }
"""

_OWN_LOAD: Final = 6
"""The load average that the benchmark makes by itself, at most."""

_REPEAT: Final = """\
## Measure it yourself

```
make bench                                # about seven minutes; wrk and npm make it whole
make bench ARGS='--only unsticky express --rounds 20'
make bench ARGS=--document                # and write this page anew
```

Each run leaves its raw data (every sample of every round), this table, and the same as HTML in
`STATE_DIR/bench/`, which is `.state/bench/` unless set.
"""


def measured_peers(raw: table.Raw) -> list[Peer]:
    """Return the peers that took part in a run."""
    return [peer for peer in PEERS if peer.name in raw["still"]]


def markdown(raw: table.Raw) -> str:
    """Return the report of a run as a Markdown document."""
    peers = measured_peers(raw)
    rows = table.rows(raw, [peer.name for peer in peers])
    parts = [
        "# Benchmarks: the same cart over the session libraries that people use\n",
        "Written by `make bench ARGS=--document` from one run; do not edit it by hand.\n",
        table.markdown([peer.title for peer in peers], rows),
        *(text + "\n" for text in _reading(raw)),
        "## How each was set up\n",
        _list(f"**{peer.title}**: {peer.settings}. Source: {peer.source}." for peer in peers),
    ]
    if raw["skipped"]:
        parts += ["Left out of this run:\n"]
        parts += [_list(f"{name}: {why}." for name, why in raw["skipped"].items())]
    parts += ["## Where and how this was measured\n", _surroundings(raw) + "\n", _REPEAT]
    return "\n".join(parts)


def hypertext(raw: table.Raw) -> str:
    """Return the report of a run as one HTML file that needs no other."""
    peers = measured_peers(raw)
    rows = table.rows(raw, [peer.name for peer in peers])
    settings = "".join(
        f"<li><b>{html.escape(peer.title)}</b>: {_inline(peer.settings)}. "
        f"Source: {_inline(peer.source)}.</li>\n"
        for peer in peers
    )
    skipped = "".join(
        f"<li>Left out: {html.escape(name)}, because {html.escape(why)}</li>\n"
        for name, why in raw["skipped"].items()
    )
    paragraphs = "".join(f"<p>{_inline(text)}</p>\n" for text in _reading(raw))
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sessions side by side, {html.escape(raw["time"])}</title>
<style>
{_STYLE}</style>
<h1>The same cart over the session libraries that people use</h1>
<div class="wide">
{table.hypertext([peer.title for peer in peers], rows)}</div>
{paragraphs}<h2>How each was set up</h2>
<ul>
{settings}{skipped}</ul>
<h2>Where and how this was measured</h2>
<p>{_inline(_surroundings(raw))}</p>
</html>
"""


def _reading(raw: table.Raw) -> tuple[str, str, str]:
    """Return how the table is to be read: load, races, the rest."""
    options, generator = raw["options"], table.generator(raw)
    bound = (
        " Locust asked, since wrk was not there: it needs more CPU for a request than some of the "
        "applications, so that its own bounds the throughput, draws the ratios of requests/s "
        "together, and is in the latencies. The rows of CPU compare nearly as they do with wrk."
        if generator is Generator.LOCUST
        else ""
    )
    load = (
        f"Load: {generator} with {CONNECTIONS} connections that never wait (a closed loop), "
        f"through one nginx with one worker over unix sockets; {measurement.PROCESSES} processes "
        f"of each application; {measurement.SESSIONS} sessions with eight lines in the cart; 80 "
        "`GET /api/cart` to 20 `POST /api/cart/items`. The applications take turns, "
        f"{options['seconds']} seconds each, every other round backwards, {options['rounds']} "
        "rounds. A figure is the median of the rounds, in brackets the middle half of them; behind "
        "× stands its ratio to Unsticky, in brackets where 90 % of it lie if the rounds are drawn "
        "anew. The best of a row is bold. Latencies under a load without pauses tell the order of "
        "the applications, not what users wait. Only the ratios mean anything on another machine."
        f"{bound}"
    )
    races = (
        f"Races: {ADDITIONS} additions to one cart, {IN_FLIGHT} in flight, {PROCESSES} processes, "
        "five articles in turn (a line of the contract holds 99). *Lost* was acknowledged with "
        "200 and is not in the cart; *refused* was answered with 409, so that its client knows. "
        f"Then {options['logouts']} logouts, each with {LATE_WRITERS} requests in flight that had "
        "read the session before it and add to the cart after it. *Revived* are the browsers that "
        f"are logged in again once all answers came. Least and most of {options['races']} rounds."
    )
    rest = (
        "Round trips and bytes are counted by the store, one request after the other; what "
        "happens inside a script is no trip. The memory of a worker is its proportional set size "
        "after the load, that of a session what `MEMORY USAGE` says. "
        f"{generator} keeps no cookies, so that Flask's cookie carries the same cart all the time."
    )
    return load, races, rest


def _surroundings(raw: table.Raw) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in raw["packages"].items())
    load = raw["load_averages"]
    others = (
        " That is more than the benchmark's own: other work ran beside it. Throughput and latency "
        "suffer from that, and the servers that answer many requests in one turn suffer most "
        "(Express, Starlette, gevent); a quiet machine shows them better."
        if max(load) > _OWN_LOAD
        else ""
    )
    return (
        f"{raw['time'][:10]}; {raw['machine']}; {raw['python']}; {versions}. Load average of the "
        f"machine during the rounds: {min(load):.1f} to {max(load):.1f}, the benchmark's own "
        f"processes included.{others} The store does not persist, access logs are off on both "
        "tiers, and workers are not recycled, for all alike. All cookies go over plain HTTP, so "
        "none is `Secure`."
    )


def _list(items: Iterable[str]) -> str:
    return "".join(f"- {item}\n" for item in items)


def _inline(text: str) -> str:
    """Return a line of our Markdown as HTML: code, emphasis and addresses."""
    text = html.escape(text, quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text)
    return re.sub(r"(https://[^\s<]+?)(?=[.,]?(?:\s|$))", r'<a href="\1">\1</a>', text)
