"""Judges what becomes of sessions: they end, move, and belong to somebody, only where asked."""

from collections.abc import Iterable

from unsticky.cookie import Reference

from tests.library.contract.fuzz_books import Book, Violation, parcels
from tests.library.contract.fuzz_changes import Changes
from tests.library.contract.fuzz_outcomes import Outcome
from tests.library.contract.fuzz_world import ABSENT, NOTHING, State, World


class Sessions:
    """See the module.

    Args:
        world: where it happens.
        names: see `Changes`.
    """

    def __init__(self, world: World, names: Iterable[str]) -> None:
        self.world = world
        self.changes = Changes(names)
        self.ledger = self.changes.ledger

    def unchanged(
        self, book: Book, outcome: Outcome, before: State | None, after: State | None
    ) -> None:
        """Demand that nothing changed."""
        del book
        if outcome.before == outcome.after and before != after:
            raise Violation("changed by a look", f"{outcome.op}: {before} became {after}")

    def ended(
        self, book: Book, outcome: Outcome, before: State | None, after: State | None
    ) -> None:
        """Judge `clear`."""
        del book, after
        if outcome.before is not None and self._state(outcome.before) is not None:
            raise Violation("ended and alive", f"{outcome.op} left {before}")
        if before is not None:
            self.ledger.ended |= parcels(before.fields)

    def rotated(
        self, book: Book, outcome: Outcome, before: State | None, after: State | None
    ) -> None:
        """Judge `rotate`: everything is kept."""
        if outcome.before is None:
            self.unchanged(book, outcome, before, after)
        elif before is not None:
            self._arrived(outcome, before, after, before)

    def unbound(
        self, book: Book, outcome: Outcome, before: State | None, after: State | None
    ) -> None:
        """Judge `unbind`: it is nobody's, without these fields and without limits of its own."""
        if outcome.before is None:
            self.unchanged(book, outcome, before, after)
            return
        names = outcome.op[1:]
        for name in names:
            book.own.pop(name, None)
            book.maybe.add(name)
            if name in book.known:
                book.known[name] = ABSENT
        if before is not None:
            fields = {name: value for name, value in before.fields.items() if name not in names}
            self._arrived(outcome, before, after, State(fields, "", None))

    def bound(
        self, book: Book, outcome: Outcome, before: State | None, after: State | None
    ) -> None:
        """Judge `bind`: a login is there as a whole, with what was changed so far."""
        old, new = before.fields if before else NOTHING, after.fields if after else NOTHING
        self.changes.judge(book, old, new, set(book.own))
        idle = before.idle if before else None
        if after is not None and (book.limit or book.waits):
            idle = after.idle if book.waits else book.limit
        self._arrived(outcome, before, after, State(new, outcome.op[1], idle))
        book.limit = None

    def _arrived(
        self, outcome: Outcome, before: State | None, after: State | None, expected: State
    ) -> None:
        """Demand that a session is under a new id what it should be, and dead under the old."""
        if after is None or outcome.after is None:
            raise Violation("moved to nowhere", f"{outcome.op}: {before}")
        self._follow(outcome, before)
        detail = f"{outcome.op}: {before} became {after}"
        if after.fields != expected.fields:
            raise Violation("move changed fields", detail)
        if after.user != expected.user:
            raise Violation("wrong user", detail)
        if after.idle != expected.idle:
            raise Violation("limit kept or lost", detail)

    def _created(self, outcome: Outcome, before: State | None, after: State | None) -> None:
        """Demand that a session keeps its id, its user and its limit, or is a new one."""
        if before is not None and outcome.after not in {outcome.before, None}:
            raise Violation("moved unasked", f"{outcome.op}: {before} became {after}")
        if before is None and after is not None and after.user:
            raise Violation("wrong user", f"{outcome.op} made {after}")

    def _follow(self, outcome: Outcome, before: State | None) -> None:
        """Demand that what was moved is dead where it was."""
        if outcome.before is None or outcome.after is None:
            return
        if self._state(outcome.before) is not None:
            raise Violation("moved and alive", f"{outcome.op} left {before}")
        if before is not None:
            self.ledger.counts[outcome.after] += self.ledger.counts.pop(outcome.before, 0)

    @staticmethod
    def _limited(book: Book, outcome: Outcome) -> None:
        """Take the limit as written; alone it begins no session, and may wait for one."""
        if outcome.after is not None:
            book.limit = None
        elif book.limit is not None:
            book.waits = True

    def _state(self, reference: Reference | None) -> State | None:
        return self.world.states.get(reference) if reference is not None else None
