"""What the gate says: the verdict of a run, and of each limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from loadtest.harness.intervals import Interval


class Word(StrEnum):
    """How a run ended, and how one limit was kept."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    UNDECIDED = "undecided"

    @property
    def exit_code(self) -> int:
        """What the command exits with."""
        return list(Word).index(self)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One limit, and what the run says about it.

    Attributes:
        name: such as `p99 of GET /api/cart`, `throughput`, or a kind of finding.
        unit: ms, share (0 to 1), requests/s or findings.
        value: what was measured.
        interval: between which values another run would measure it. What is counted has none: its
            value twice.
        limit: the least good throughput, and the greatest good value of all else.
        reason: what is wrong, in words; empty if nothing is.
    """

    name: str
    unit: str
    value: float
    interval: Interval
    limit: float
    word: Word
    reason: str = ""

    @property
    def is_within(self) -> bool:
        """Whether the measured value is within the limit, by chance or not."""
        match self.unit:
            case "requests/s":
                return self.value >= self.limit
            case "findings":
                # Facts, of which several kinds may share one limit.
                return self.word is Word.PASS
        return self.value <= self.limit


@dataclass(frozen=True)
class Verdict:
    """The result of the gate.

    Attributes:
        word: how the run ended.
        reasons: what failed or is undecided, and by how much; or why there is no verdict.
        notes: what was not judged, or does not count any more.
        judged: each limit.
    """

    word: Word
    reasons: Sequence[str] = ()
    notes: Sequence[str] = ()
    judged: Sequence[Judged] = ()

    @property
    def line(self) -> str:
        """The last line of the command."""
        return f"VERDICT {self.word}" + (f": {'; '.join(self.reasons)}" if self.reasons else "")

    @property
    def is_kept(self) -> bool:
        """Whether each measured value is within its limit, by chance or not."""
        is_judged = self.word in {Word.PASS, Word.UNDECIDED}
        return is_judged and all(each.is_within for each in self.judged)
