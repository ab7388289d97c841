"""Judges transactions: all that was read holds when all that was changed is written."""

from unsticky import OutcomeUnknown

from tests.library.contract.fuzz_books import Book, Violation, copied, parcels, under
from tests.library.contract.fuzz_outcomes import Outcome
from tests.library.contract.fuzz_sessions import Sessions
from tests.library.contract.fuzz_world import ABSENT, NOTHING, Fields, State


class Transactions(Sessions):
    """See the module."""

    def transacted(
        self, book: Book, outcome: Outcome, before: State | None, after: State | None
    ) -> None:
        """Judge a transaction's commit: all that was read holds, all that was set is there."""
        if book.before_end is not None:
            self._still(book.before_end, before.fields if before else NOTHING)
            self.ended(book, outcome, before, after)
            before = None
        elif (
            book.moves
            or (after is not None and before is not None and after != before)
            or (before is None and self._removed(book))
        ):
            # Without a change it was one look, at one instant.
            self._still(book, before.fields if before else NOTHING)
        self._settled(book, outcome, before, after)
        self._belongs(book, outcome, before, after)
        self._carried(book, outcome, before, after)
        old = before.fields if before else NOTHING
        again = {name for name in book.own if self.changes.was_written(book, name)}
        self.changes.note(book, set(book.own), old)
        if outcome.error is not None:
            self.ledger.ended |= parcels(book.own)  # nobody was told that they are there
        book.maybe |= again
        book.known = {
            n: copied(book.own.get(n, value)) for n, value in book.known.items() if n not in again
        }
        self._limited(book, outcome)
        book.left_transaction()

    def _settled(
        self, book: Book, outcome: Outcome, before: State | None, after: State | None
    ) -> None:
        """Demand that exactly what was changed is changed."""
        old, new = before.fields if before else NOTHING, after.fields if after else NOTHING
        for name in old.keys() | new.keys() | book.own.keys():
            expected = book.own.get(name, old.get(name, ABSENT))
            if new.get(name, ABSENT) == expected or self.changes.was_written(book, name):
                continue
            if old.get(name, ABSENT) == new.get(name, ABSENT) and book.may_be_as_loaded(name):
                continue
            if book.ends and isinstance(outcome.error, OutcomeUnknown):
                continue  # the end and the new beginning are two writes
            if book.ends and outcome.error is not None:
                raise Violation("end and new beginning torn", f"{outcome.op}: {after}")
            detail = f"{name} is {new.get(name, ABSENT)!r}, not {expected!r}"
            raise Violation("transaction torn", detail)

    def _belongs(
        self, book: Book, outcome: Outcome, before: State | None, after: State | None
    ) -> None:
        """Demand that the session has the user and the limit that it was given."""
        if after is None:
            return
        again = self.changes.is_resent(book) or book.waits or outcome.error is not None
        held = before.user if before else ""
        user = held if book.bound is None else book.bound
        if after.user != user:
            raise Violation("wrong user", f"{after}, not {user!r}")
        kept = before.idle if before is not None and not book.unbound else None
        if after.idle != (book.limit or kept) and not again:
            raise Violation("limit lost", f"{after}, not {book.limit or kept}")

    def _carried(
        self, book: Book, outcome: Outcome, before: State | None, after: State | None
    ) -> None:
        """Enter a transaction's sums and parcels into the ledger, and where the session went."""
        if outcome.error is None:
            self.ledger.taken.update(book.taken)
        else:
            self.ledger.ended |= book.taken
        if before is not None and outcome.before != outcome.after:
            self._follow(outcome, before)
        elif before is not None and book.moves:
            raise Violation("not moved", f"{outcome.op} left {before}")
        if outcome.after is not None and after is not None:
            old = before.fields.get("n", 0) if before else 0
            self.ledger.counts[outcome.after] += after.fields.get("n", 0) - old

    def _removed(self, book: Book) -> bool:
        """Tell whether it removed or changed what it had read, of a session that is not there."""
        return not self.changes.is_resent(book) and any(
            name in book.known and book.known[name] not in (value, ABSENT)
            for name, value in book.own.items()
        )

    @staticmethod
    def _still(book: Book, old: Fields) -> None:
        for name, value in book.known.items():
            held = old.get(name, ABSENT)
            # A counter that is not there is read as 0.
            if held != value and [held, value] not in ([0, ABSENT], [ABSENT, 0]):
                detail = f"{name} was read as {value!r} and is {held!r}"
                raise Violation("transaction on old state", detail)
        for prefix, changes, told in book.listings:
            now = {
                name: value
                for name, value in (under(prefix, old) | changes).items()
                if value is not ABSENT
            }
            if now != told:
                raise Violation("transaction on old state", f"listed {told}, and there is {now}")
