"""Judges a history: compares the answers that workers got with what the store holds in the end.

A session and its successors by rotation are one lineage. In each lineage:

- an acknowledged change is there exactly once, and in no other lineage;
- a refused change is not there, one of unknown outcome at most once, and nothing twice;
- an ended lineage holds nothing and is not alive, and no lineage lives under two handles;
- the counter is the acknowledged changes, plus at most the unknown ones;
- no two acknowledged changes replaced the same note, because one of them would be lost.

Losses that the guarantees exclude are counted and are no violation: see `Tally`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.library.history.operations import Kind, Operation, Outcome

Content = Mapping[str, Any]

_LEAVES_ITS_TAG = {Kind.BEGIN, Kind.ADD, Kind.PARCEL, Kind.SET, Kind.MERGE, Kind.LOG, Kind.MOVE}


@dataclass(frozen=True)
class Outage:
    """A time in which acknowledged writes may be undone, in seconds of the monotonic clock."""

    start: float
    end: float


@dataclass
class Tally:
    """The numbers of operations, and of losses that the guarantees exclude.

    Attributes:
        acknowledged, refused, unknown: operations by the answer that their worker got.
        unknown_applied: unknown operations that are there.
        undone: acknowledged and not there, because the disk was behind when the store failed.
        returned: parcels in a journal and back in their session, because a take was undone.
        taken_unseen: acknowledged parcels in a take whose worker got no answer.
        stranded: living sessions whose cookie was lost with a worker.
    """

    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    unknown_applied: int = 0
    undone: int = 0
    returned: int = 0
    taken_unseen: int = 0
    stranded: int = 0


@dataclass
class Verdict:
    """Violations of the guarantees, one sentence each, and the tally."""

    violations: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


def judge(
    operations: Sequence[Operation],
    sessions: Iterable[tuple[str, Content]],
    outages: Sequence[Outage] = (),
) -> Verdict:
    """Return the verdict on a history.

    Args:
        operations: all of them.
        sessions: handle and content of each session that is alive in the end.
        outages: when the store lost what it had acknowledged, if it did.
    """
    return _Judge(operations, list(sessions), outages).verdict()


class _Judge:
    def __init__(
        self,
        operations: Sequence[Operation],
        sessions: list[tuple[str, Content]],
        outages: Sequence[Outage],
    ) -> None:
        self._operations = operations
        self._outages = outages
        self._parents = {
            op.landed: op.handle
            for op in operations
            if op.kind is Kind.ROTATE and op.handle and op.landed
        }
        self._births = {op.tag: op.landed for op in operations if op.kind is Kind.BEGIN}
        self._sessions = [(self._living_root(h, content), h, content) for h, content in sessions]
        self._result = Verdict()

    def verdict(self) -> Verdict:
        self._count_outcomes()
        self._judge_tags()
        self._judge_lives()
        self._judge_totals()
        self._judge_notes()
        return self._result

    # What belongs together.

    def _root(self, handle: str) -> str:
        """Return the handle under which the lineage began."""
        while handle in self._parents:
            handle = self._parents[handle]
        return handle

    def _living_root(self, handle: str, content: Content) -> str:
        # A handle that no worker knows is a session that its move stranded.
        born = self._births.get(content.get("lineage", ""), "")
        return self._root(born or handle)

    def _lineage(self, op: Operation) -> str:
        moved = op.kind is Kind.ROTATE
        return self._root(op.handle if moved else op.landed or op.handle)

    def _is_undoable(self, op: Operation) -> bool:
        # Some time passes between an answer and its entry in the journal.
        return op.outcome is Outcome.ACKNOWLEDGED and any(
            op.started <= outage.end and outage.start <= op.ended for outage in self._outages
        )

    def _is_certain(self, op: Operation) -> bool:
        return op.outcome is Outcome.ACKNOWLEDGED and not self._is_undoable(op)

    def _violated(self, sentence: str) -> None:
        self._result.violations.append(sentence)

    # The judgements.

    def _count_outcomes(self) -> None:
        tally = self._result.tally
        count = Counter(op.outcome for op in self._operations)
        tally.acknowledged = count[Outcome.ACKNOWLEDGED]
        tally.refused = count[Outcome.REFUSED]
        tally.unknown = count[Outcome.UNKNOWN]
        told = {op.landed for op in self._operations}
        tally.stranded = sum(handle not in told for _, handle, _ in self._sessions)

    def _judge_tags(self) -> None:
        alive: dict[str, list[str]] = defaultdict(list)
        for root, _, content in self._sessions:
            for tag in _tags(content):
                alive[tag].append(root)
        ended = {self._lineage(op) for op in self._ends()}
        certainly_ended = {self._lineage(op) for op in self._ends() if self._is_certain(op)}
        journaled, returnable, unseen = self._takes()
        for op in self._operations:
            if op.kind not in _LEAVES_ITS_TAG:
                continue
            lineage, places = self._lineage(op), alive.pop(op.tag, [])
            if lineage in places and lineage in certainly_ended:
                self._violated(f"{op.kind} {op.tag} is alive although its session was ended")
            # A change of unknown outcome may be in a new session that its worker does not know.
            elif op.outcome is Outcome.ACKNOWLEDGED and any(place != lineage for place in places):
                self._violated(f"{op.kind} {op.tag} is in a session that it was not made in")
            found = len(places) + journaled[op.tag]
            if found > 1 and op.tag in returnable:
                self._result.tally.returned += 1
                found = 1
            unseen_take = op.kind is Kind.PARCEL and unseen.get(lineage, -1.0) >= op.started
            self._judge_presence(op, found, excused=lineage in ended, unseen_take=unseen_take)
        for tag in alive:
            self._violated(f"{tag} is in the store and nobody put it there")

    def _takes(self) -> tuple[Counter[str], set[str], dict[str, float]]:
        """Return what takes returned, what of it may be back, and the last unseen by lineage."""
        brought: Counter[str] = Counter()
        returnable: set[str] = set()
        unseen: dict[str, float] = {}
        for op in self._operations:
            brought.update(op.taken)
            if self._is_undoable(op):
                returnable.update(op.taken)
            if op.kind is Kind.TAKE and op.outcome is Outcome.UNKNOWN:
                unseen[self._lineage(op)] = max(unseen.get(self._lineage(op), 0), op.started)
        return brought, returnable, unseen

    def _judge_presence(
        self, op: Operation, found: int, *, excused: bool, unseen_take: bool
    ) -> None:
        tally = self._result.tally
        if found > 1:
            self._violated(f"{op.kind} {op.tag}, {op.outcome}, is there {found} times")
        elif op.outcome is Outcome.REFUSED and found:
            self._violated(f"{op.kind} {op.tag} was refused ({op.code}) and is there")
        elif op.outcome is Outcome.UNKNOWN:
            tally.unknown_applied += found
        elif op.outcome is Outcome.ACKNOWLEDGED and not found and not excused:
            if self._is_undoable(op):
                tally.undone += 1
            elif unseen_take:
                tally.taken_unseen += 1
            else:
                self._violated(f"{op.kind} {op.tag} was acknowledged and is not there")

    def _judge_lives(self) -> None:
        certainly_ended = {self._lineage(op): op for op in self._ends() if self._is_certain(op)}
        lives = Counter(root for root, _, _ in self._sessions)
        for root, number in lives.items():
            if root in certainly_ended:
                self._violated(f"{root} lives although {certainly_ended[root].tag} ended it")
            if number > 1:
                self._violated(f"{root} lives under {number} handles")

    def _judge_totals(self) -> None:
        certain: Counter[str] = Counter()
        possible: Counter[str] = Counter()
        # Such a change may have begun a session that no worker knows.
        unknown = 0
        for op in self._operations:
            if op.kind is Kind.TOTAL and op.outcome is not Outcome.REFUSED:
                certain[self._lineage(op)] += self._is_certain(op)
                possible[self._lineage(op)] += 1
                unknown += op.outcome is Outcome.UNKNOWN
        known = {self._lineage(op) for op in self._operations}
        for root, _, content in self._sessions:
            total = content.get("total", 0)
            tried = possible[root] if root in known else unknown
            if not certain[root] <= total <= tried:
                self._violated(
                    f"{root} counts {total}: {certain[root]} are certain, {tried} were tried"
                )

    def _judge_notes(self) -> None:
        by: dict[tuple[str, str], str] = {}
        for op in self._operations:
            # If two found no note at all, the first one stays: no loss.
            if op.kind is Kind.REPLACE and op.replaced is not None and self._is_certain(op):
                other = by.setdefault((self._lineage(op), op.replaced), op.tag)
                if other != op.tag:
                    self._violated(f"{other} and {op.tag} both replaced the note {op.replaced}")

    def _ends(self) -> list[Operation]:
        return [
            op
            for op in self._operations
            if op.kind is Kind.DESTROY and op.handle and op.outcome is not Outcome.REFUSED
        ]


def _tags(content: Content) -> list[str]:
    """Return the tags in a session, each as often as it is there."""
    tags = [content["lineage"]] if "lineage" in content else []
    tags += [*content.get("ledger", ()), *content.get("log", ())]
    maps = [content.get("tags", {}), content.get("parcels", {})]
    for name, value in content.items():
        kind, _, tag = name.partition(" ")
        if kind in {"set", "moved"} and tag:
            tags.append(tag)
        if kind == "moved" and tag:
            maps.append(value)
    for entries in maps:
        tags += [tag for tag, count in entries.items() for _ in range(count)]
    return tags
