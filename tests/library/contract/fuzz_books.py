"""What one request of the fuzzer was shown and has changed: what a view could know, no more."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from unsticky.cookie import Reference

from tests.library.contract.fuzz_world import ABSENT, Fields, State


class Violation(Exception):
    """Something that the guarantees exclude; `kind` names it in the table.

    Args:
        kind: a short name.
        detail: what was seen.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind


def copied(value: Any) -> Any:
    """Return a value that stays as it is."""
    return dict(value) if isinstance(value, dict) else value


def under(prefix: str, fields: Fields) -> Fields:
    """Return the entries of the map `prefix`, or everything for an empty one."""
    return {name: value for name, value in fields.items() if name.startswith(prefix)}


def parcels(fields: Fields) -> set[str]:
    """Return the parcels in a session."""
    return {value for name, value in fields.items() if ".p" in name and isinstance(value, str)}


@dataclass
class Book:
    """See the module.

    Attributes:
        name: what the request calls itself; a resend has the same name.
        number: which request it is.
        versions: returns what its session held at one time or another since a step.
        since: the step before which nothing of what it reads can have been read.
        known: what it read of each field, as it was then or as it wrote it since.
        maybe: fields that it may count as read or not, such as what a take removed.
        own: what its view sees of the fields that it changed and that were not written yet.
        listings: names and values that were listed, each with the changes as they were then.
        limit: the idle limit that it gave the session and that was not written yet.
        unsure: what was written by a step that was told of no outcome.
        bound: in a transaction, whose the session is to be; None for no change.
        unbound: in a transaction, whether it logged out, so that the session's own limits go.
        moves, ends: in a transaction, whether the session is to be moved or ended.
        before_end: what was read before that end.
        references: the sessions that it held.
        taken: in a transaction, the parcels that were taken.
        looked: in a transaction, whether names were listed or counted.
        waits: whether a limit may wait for a session to begin.
        outer_limit: what `limit` was when the transaction began.
        committed: what it wrote of each field last, or was told so.
        left: the sessions whose ids it gave up: nothing that it sets now may be there.
    """

    name: str
    number: int
    versions: Callable[[Reference, int], list[State | None]]
    since: int
    known: Fields = field(default_factory=dict)
    maybe: set[str] = field(default_factory=set)
    own: Fields = field(default_factory=dict)
    listings: list[tuple[str, Fields, Fields]] = field(default_factory=list)
    limit: int | None = None
    unsure: Fields = field(default_factory=dict)
    bound: str | None = None
    unbound: bool = False
    moves: bool = False
    ends: bool = False
    before_end: "Book | None" = None
    references: list[Reference] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    looked: bool = False
    waits: bool = False
    outer_limit: int | None = None
    committed: Fields = field(default_factory=dict)
    left: set[Reference] = field(default_factory=set)

    @property
    def last(self) -> Reference | None:
        """The session that it held last."""
        return self.references[-1] if self.references else None

    def copy(self) -> "Book":
        """Return a book in which something can be tried."""
        return replace(
            self,
            known=dict(self.known),
            maybe=set(self.maybe),
            own=dict(self.own),
            unsure=dict(self.unsure),
            listings=list(self.listings),
        )

    def forget(self, now: int) -> None:
        """Begin again: what is read from now on was read now."""
        self.known, self.maybe, self.own, self.listings = {}, set(), {}, []
        self.taken = set()
        self.bound = self.before_end = None
        self.limit = self.outer_limit
        self.unbound = self.moves = self.ends = self.looked = False
        self.since = now

    def left_transaction(self) -> None:
        """Go on after a transaction that was committed."""
        self.own.clear()
        self.listings.clear()
        self.bound = self.before_end = None
        self.moves = self.ends = self.looked = False

    # What the view was shown.

    def saw(self, name: str, value: Any) -> None:
        """Take what was read of a field.

        Raises:
            Violation: it is not what the request set, not what it read before, or nothing that the
                session held in its time.
        """
        if name in self.own:
            self._expect("own write not seen", name, value, self.own[name])
        elif name in self.known:
            self._expect("two reads differ", name, value, self.known[name])
        else:
            held = self._candidates(name)
            held.append(self.committed.get(name, held[0]))
            if value not in held and not (value is ABSENT and name in self.maybe):
                raise Violation("read of nowhere", f"{name} is {value!r}; it held {held!r}")
            self.known[name] = copied(value)

    def counted(self, name: str, value: int) -> None:
        """Take what was read of a counter, where an absent one counts as 0."""
        if name in self.own or name in self.known:
            current = self.own.get(name, self.known.get(name))
            self._expect("counter", name, value, 0 if current is ABSENT else current)
            return
        held = self._candidates(name)
        self.saw(name, ABSENT if value == 0 and 0 not in held else value)

    def listed(self, prefix: str, told: Fields) -> None:
        """Take what was listed."""
        for name, value in told.items():
            self.saw(name, value)
        self.listings.append((prefix, under(prefix, self.own), told))

    # What the view changed.

    def wrote(self, name: str, value: Any) -> None:
        """Take what was set, ABSENT where it was deleted."""
        self.own[name] = copied(value)

    def changed(self, name: str, value: dict[str, Any]) -> None:
        """Take what a dict became in place."""
        if name not in self.own and self.known.get(name) == value:
            return
        self.own[name] = copied(value)

    def removes(self) -> bool:
        """Tell whether something was removed."""
        return any(value is ABSENT for value in self.own.values())

    def may_be_as_loaded(self, name: str) -> bool:
        """Tell whether what was set is what may have been loaded: then nothing is to be written.

        Where others changed the field since, it is as if this request had come first.
        """
        loaded = [self.known[name]] if name in self.known else self._candidates(name)
        return self.own.get(name) in loaded

    def _candidates(self, name: str) -> list[Any]:
        if self.ends:
            return [ABSENT]
        states = [
            state for reference in self.references for state in self.versions(reference, self.since)
        ]
        held = [ABSENT if state is None else state.fields.get(name, ABSENT) for state in states]
        return held or [ABSENT]

    @staticmethod
    def _expect(kind: str, name: str, value: Any, expected: Any) -> None:
        if value != expected:
            raise Violation(kind, f"{name} is {value!r}, expected {expected!r}")
