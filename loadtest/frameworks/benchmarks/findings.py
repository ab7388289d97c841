"""From the raw data of the anomalies to one table: what was lost, revived or misread, how often."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from loadtest import machine
from loadtest.console import say, show
from loadtest.errors import LoadTestError
from loadtest.frameworks import contract, mongodb, node, raw
from loadtest.frameworks.benchmarks import anomalies, site
from loadtest.frameworks.benchmarks.race import ADDITIONS, IN_FLIGHT
from loadtest.frameworks.benchmarks.spread import least_most
from loadtest.frameworks.peers import PEERS, Peer
from loadtest.report import pages

ABSENT: Final = "–"
"""Not tried."""

UNFIT: Final = "n/a"
"""It has no session on a server that could be revoked."""

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
class Cell:
    """What the table says, whether that is not zero, and the mark of a note below the table."""

    text: str
    fails: bool = False
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.text}{self.mark}"


@dataclass(frozen=True)
class Line:
    """A peer and its cells."""

    peer: Peer
    cells: tuple[Cell, ...]

    @property
    def fails(self) -> bool:
        """Whether any cell is not zero."""
        return any(cell.fails for cell in self.cells)


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
        LoadTestError: the file holds something else, or too few of its tries prove anything.
    """
    data, found = raw.read(path, "the anomalies", lines, "anomalies")
    show([header(), *((line.peer.title, *map(str, line.cells)) for line in found)])
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
    """Return the table of a run: a line for each peer.

    Raises:
        LoadTestError: too few tries prove anything.
    """
    measured = {race["peer"] for race in data["races"]}
    return [_line(data, peer) for peer in PEERS if peer.name in measured]


def markdown(data: Raw) -> str:
    """Return the report of a run as a Markdown document."""
    found = lines(data)
    text = pages.rendered(
        "anomalies.md",
        data=data,
        lines=found,
        marks={cell.mark for line in found for cell in line.cells},
        header=header(),
        additions=ADDITIONS,
        in_flight=IN_FLIGHT,
        processes=site.PROCESSES,
        late=site.LATE_WRITERS,
        lifetime=anomalies.SHORT_LIFETIME,
        patience=site.PATIENCE,
    )
    return f"{text}\n"


def _line(data: Raw, peer: Peer) -> Line:
    races = [race for race in data["races"] if race["peer"] == peer.name]
    cells = []
    for name in ("lost", "refused"):
        counts = [race[name] for race in races]
        cells.append(Cell(least_most(counts).replace("-", "–"), any(counts)))
    for name in HEADINGS:
        mine = (peer.name, name)
        cell = _cell([each for each in data["tries"] if (each["peer"], each["anomaly"]) == mine])
        # Whether mongod would have deleted it by then is left open.
        is_stand_in = peer.place == "mongodb" and not data["mongodb"].startswith("mongod ")
        if cell.fails and is_stand_in and name in {"expired", "outlived"}:
            cell = replace(cell, mark="²")
        cells.append(cell)
    return Line(peer, tuple(cells))


def _cell(tries: Sequence[Raw]) -> Cell:
    """Count how often an anomaly happened to a peer.

    Raises:
        LoadTestError: fewer than half of the tries prove anything.
    """
    if not tries:
        return Cell(ABSENT)
    name = tries[0]["anomaly"]
    if name == "revoked" and contract.NOTHING_TO_REVOKE in tries[0]["answers"]:
        return Cell(UNFIT, mark="¹")
    happened = [each["happened"] for each in tries if each["happened"] is not None]
    if 2 * len(happened) < len(tries):
        void = next(each for each in tries if each["happened"] is None)
        raise LoadTestError(
            f"{HEADINGS[name]}: only {len(happened)} of {len(tries)} tries with {void['peer']} "
            f"prove anything; the first of the others was answered {void['answers']}",
            "find out why it failed, or measure again while nothing else runs",
        )
    count = sum(happened)
    is_whole = len(happened) == len(tries)
    return Cell(str(count) if is_whole else f"{count} of {len(happened)}", count > 0)
