"""From the raw data of the anomalies to one table: what was lost, revived or misread, how often."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from loadtest import machine
from loadtest.console import say, show
from loadtest.errors import LoadTestError
from loadtest.frameworks import mongodb, node, raw
from loadtest.frameworks.benchmarks import anomalies
from loadtest.frameworks.benchmarks.race import ADDITIONS, IN_FLIGHT
from loadtest.frameworks.benchmarks.spread import least_most
from loadtest.frameworks.peers import PEERS, Peer
from loadtest.report import pages

ABSENT: Final = "–"

_PAGE: Final = machine.CHECKOUT / "docs" / "benchmarks-anomalies.md"

HEADINGS: Final = {
    "revived": "logout revived",
    "revoked": "revoked, recreated",
    "oauth": "OAuth state lost",
    "replayed": "replay after logout",
    "expired": "expiry ignored",
    "outlived": "expired, recreated",
    "anonymous": "store down: anonymous",
    "logged out": "store down: logged out",
}
"""Of the anomalies that are forced, by name, in the order of the table."""

Raw = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A peer, its cells, and whether any of them is not zero."""

    peer: Peer
    cells: tuple[str, ...]
    fails: bool


def measure(peers: Sequence[Peer], skipped: Mapping[str, str], rounds: int, tries: int) -> Path:
    """Let the peers race, force the anomalies, and return the file with the raw data.

    Raises:
        LoadTestError: one cannot be started, or answers wrongly.
    """
    races: list[dict[str, Any]] = []
    made = []
    for peer in peers:
        its_races, its_tries = anomalies.tries_of(peer, rounds, tries)
        races += its_races
        made += its_tries
    return raw.save(
        "anomalies",
        {
            "mongodb": mongodb.description() if "mongodb" in {p.place for p in peers} else "",
            "options": {"rounds": rounds, "tries": tries},
            "skipped": skipped,
            "races": races,
            "tries": [asdict(each) for each in made],
        },
        packages=raw.packages(peers),
        more=node.versions() if "node" in {peer.server for peer in peers} else {},
    )


def write(path: Path, *, is_documented: bool) -> None:
    """Print the table of a run, and write it beside the raw data.

    Raises:
        LoadTestError: the file holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        found = lines(data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LoadTestError(
            f"{path} is no raw data of the anomalies ({error!r})", "name a file anomalies-*.json"
        ) from None
    show([header(), *((line.peer.title, *line.cells) for line in found)])
    text = markdown(data)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    if is_documented:
        _PAGE.write_text(text, encoding="utf-8")
        say(f"written: {_PAGE}")
    say(f"the same table: {path.with_suffix('.md')}")


def header() -> tuple[str, ...]:
    """Return the headings of the table."""
    return ("session", f"lost of {ADDITIONS}", f"refused of {ADDITIONS}", *HEADINGS.values())


def lines(data: Raw) -> list[Line]:
    """Return the table of a run: a line for each peer."""
    measured = {race["peer"] for race in data["races"]}
    return [_line(data, peer) for peer in PEERS if peer.name in measured]


def markdown(data: Raw) -> str:
    """Return the report of a run as a Markdown document."""
    text = pages.rendered(
        "anomalies.md",
        data=data,
        lines=lines(data),
        header=header(),
        additions=ADDITIONS,
        in_flight=IN_FLIGHT,
        processes=anomalies.PROCESSES,
        late=anomalies.LATE_WRITERS,
        lifetime=anomalies.SHORT_LIFETIME,
        patience=anomalies.PATIENCE,
    )
    return f"{text}\n"


def _line(data: Raw, peer: Peer) -> Line:
    races = [race for race in data["races"] if race["peer"] == peer.name]
    tries = [each for each in data["tries"] if each["peer"] == peer.name]
    cells = [least_most([race[name] for race in races]) for name in ("lost", "refused")]
    for name in HEADINGS:
        happened = [each["happened"] for each in tries if each["anomaly"] == name]
        cells.append(str(sum(happened)) if happened else ABSENT)
    return Line(
        peer,
        tuple(cell.replace("-", "–") for cell in cells),
        any(cell not in {"0", ABSENT} for cell in cells),
    )
