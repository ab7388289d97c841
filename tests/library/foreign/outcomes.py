"""What came of a suite: recorded results on its own sessions, and the comparison with ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from .suites import COOKIE, ForeignError, Suite, without_parameters

_RECORDS = Path(__file__).parent / "own"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A suite on our sessions, beside what it does on its own.

    Attributes:
        suite: the suite.
        own: the tests that pass on their own sessions.
        ours: what came of each test on ours, such as "passed".
        read: what came of the tests that decode the cookie, run again with a reader of ours.
    """

    suite: Suite
    own: frozenset[str]
    ours: Mapping[str, str]
    read: Mapping[str, str]

    @property
    def differing(self) -> list[str]:
        """The tests that pass on their own sessions only."""
        return sorted(test for test in self.own if self.ours.get(test) != "passed")

    @property
    def new(self) -> list[str]:
        """Those that no reason is listed for, and those that fail for another one than listed."""
        return [
            test
            for test in self.differing
            if (reason := self.suite.reason(test)) is None
            or (reason == COOKIE and self.read.get(test) != "passed")
        ]

    @property
    def stale(self) -> list[str]:
        """What is listed and differs no more."""
        differing = {*self.differing, *map(without_parameters, self.differing)}
        return sorted(set(self.suite.differences) - differing)

    def row(self) -> tuple[str, ...]:
        """Return a line of the table; its columns are HEADINGS."""
        passed = len(self.own) - len(self.differing)
        return (
            self.suite.name,
            self.suite.version,
            str(len(self.own)),
            str(passed),
            str(len(self.differing) - len(self.new)),
            str(len(self.new)),
        )

    def complaints(self) -> list[str]:
        """Return a line for each thing that is not as it is listed."""
        return [
            *(f"{self.suite.name}: {test} differs, and no reason is listed" for test in self.new),
            *(
                f"{self.suite.name}: {test} differs no more: take it out of differences.toml"
                for test in self.stale
            ),
        ]


HEADINGS = ("suite", "version", "own", "ours", "expected", "new")


def to_repeat(suite: Suite, own: frozenset[str], ours: Mapping[str, str]) -> list[str]:
    """Return the tests that are to run again with a reader of our sessions."""
    return sorted(
        test for test in own if ours.get(test) != "passed" and suite.reason(test) == COOKIE
    )


def record(suite: Suite, outcomes: Mapping[str, str]) -> None:
    """Keep which tests passed on the suite's own sessions, grouped by file."""
    passed = sorted(test.partition("::")[::2] for test in outcomes if outcomes[test] == "passed")
    lines = [f"# {suite.name} {suite.version}: what passes on its own sessions."]
    for file, tests in groupby(passed, key=lambda test: test[0]):
        lines += [file, *(f"  {name}" for _, name in tests)]
    _RECORDS.mkdir(exist_ok=True)
    _path(suite).write_text("\n".join(lines) + "\n", encoding="utf-8")


def recorded(suite: Suite) -> frozenset[str]:
    """Return the tests that pass on the suite's own sessions.

    Raises:
        ForeignError: nothing is recorded for the pinned version.
    """
    text = _path(suite).read_text(encoding="utf-8") if _path(suite).exists() else ""
    first, *lines = text.splitlines() or [""]
    if not first.startswith(f"# {suite.name} {suite.version}:"):
        message = (
            f"{_path(suite).name} is not a record of {suite.name} {suite.version}, which is "
            f"pinned: run `make foreign ARGS='--record {suite.name}'` and look at what changes"
        )
        raise ForeignError(message)
    tests, file = set(), ""
    for line in lines:
        if line.startswith("  "):
            tests.add(f"{file}::{line[2:]}")
        else:
            file = line
    return frozenset(tests)


def _path(suite: Suite) -> Path:
    return _RECORDS / f"{suite.name}.txt"
