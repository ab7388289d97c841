"""Judges each step of a request by what it made of the store, and by what its view could know.

Every step is one request's alone, so whatever changed in the store was changed by it. A change is
right if the request asked for it, and if what it replaced was either read by the request, or
overwritten by a write that had read nothing. What was acknowledged has to be there.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from unsticky import Conflict, OutcomeUnknown, SessionGone, StoreUnavailable
from unsticky.cookie import Reference

from tests.library.contract.fuzz_books import Book, Violation, copied, parcels, under
from tests.library.contract.fuzz_cases import Op
from tests.library.contract.fuzz_lives import Lives
from tests.library.contract.fuzz_outcomes import Outcome, check_reason, kind_of_refusal, scope_of
from tests.library.contract.fuzz_transactions import Transactions
from tests.library.contract.fuzz_world import ABSENT, NOTHING, Fields, State, World


class Judge(Transactions):
    """See the module."""

    def __init__(self, world: World, names: Iterable[str]) -> None:
        super().__init__(world, names)
        self.done: set[tuple[str, Op, int, Reference | None]] = set()
        self.applied: dict[tuple[str, Op, int, Reference | None], Any] = {}
        self.doubtful: set[tuple[str, Op, int, Reference | None]] = set()
        self.lives = Lives(world)
        self.attempts: Counter[tuple[int, Op]] = Counter()

    def step(self, book: Book, outcome: Outcome, before: State | None) -> None:
        """Judge a step.

        Args:
            book: of the request.
            outcome: what came of it.
            before: what the session that it holds, or held last, was before.

        Raises:
            Violation: it did something that it may not.
        """
        if outcome.op[0] in {"incr", "take", "into"}:
            self.attempts[book.number, outcome.op] += 1
        if outcome.before is None and not self.lives.takes_up(book, outcome, before):
            before = None
        self.lives.step(book, outcome, before)
        if outcome.error is None:
            self.succeeded(book, outcome, before)
        else:
            self._failed(book, outcome, before)
        if outcome.after is not None and outcome.after not in book.references:
            book.references.append(outcome.after)

    def succeeded(self, book: Book, outcome: Outcome, before: State | None) -> None:
        """Judge a step that was acknowledged."""
        if outcome.op[0] in {"incr", "take", "into"}:
            self._done_here(book, outcome, before)
        after = self._state(outcome.after)
        judged = _HANDLERS.get(outcome.op[0], Judge.unchanged)
        judged(self, book, outcome, before, after)

    def _done_here(self, book: Book, outcome: Outcome, before: State | None) -> None:
        """Demand that no session begins with what the request did to one that ended since."""
        key = self._key(book, outcome)
        if before is not None:
            self.done.add(key)
        elif key in self.done and outcome.after not in {None, outcome.before}:
            raise Violation("done again elsewhere", f"{outcome.op} of a resend")

    def _failed(self, book: Book, outcome: Outcome, before: State | None) -> None:
        error = outcome.error
        assert error is not None
        ended = outcome.before is not None and before is None
        came_before = ended and self.changes.is_resent(book)
        check_reason(book, outcome, before, came_before=came_before)
        if isinstance(error, SessionGone) and self.lives.is_emptied(outcome.before):
            raise Violation("refused without reason", f"{outcome.op}: it may begin again")
        after = self._state(outcome.after)
        unknown = isinstance(error, (OutcomeUnknown, StoreUnavailable)) and outcome.fired
        if before == after and (before is None or self._is_still(outcome, before)):
            # Written and taken again, or nothing at all: a resend may find it done.
            self.doubtful.add(self._key(book, outcome))
            self.changes.doubt(book, scope_of(outcome.op, book))
            return
        attempts: list[Callable[[Book, Outcome, State | None], None]] = []
        if outcome.op[0] != "tx-end" and not isinstance(error, Conflict):
            attempts = [partial(self._only_wrote, prefix=prefix) for prefix in ("", "cart.")]
        why: Violation | None = None
        for attempt in (*attempts, *([self.succeeded] if unknown else [])):
            trial = book.copy()
            try:
                attempt(trial, outcome, before)
            except Violation as reason:
                why = reason
            else:
                if unknown:
                    book.unsure |= {
                        name: value for name, value in book.own.items() if name not in trial.own
                    }
                    book.maybe |= set(book.own)
                else:
                    book.own, book.known = trial.own, trial.known
                return
        detail = f"{outcome.op} raised {error!r}, yet {before} became {after} ({why})"
        raise Violation(kind_of_refusal(why), detail)

    def _is_still(self, outcome: Outcome, before: State | None) -> bool:
        """Tell whether the session that was held before is what it was."""
        return outcome.before is None or self._state(outcome.before) == before

    def _only_wrote(
        self, book: Book, outcome: Outcome, before: State | None, *, prefix: str
    ) -> None:
        """Judge what an atomic operation wrote first, and then did no more."""
        after = self._state(outcome.after)
        scope = scope_of(outcome.op, book)
        self._write(book, before, after, {name for name in scope if name.startswith(prefix)})
        self._created(outcome, before, after)

    def incr(self, book: Book, outcome: Outcome, before: State | None, after: State | None) -> None:
        """Judge an addition: it was made once, from what the request set before it."""
        _, name, delta, low, high = outcome.op
        key = self._key(book, outcome)
        old, new = before.fields if before else NOTHING, after.fields if after else NOTHING
        told = outcome.told if outcome.error is None else new.get(name)
        held = before is not None or self.lives.is_emptied(outcome.before)
        if held and key in self.applied:
            if outcome.error is None and told != self.applied[key]:
                raise Violation("resend answered otherwise", f"{outcome.op} told {told}")
            middle = new
        else:
            if told is None or new.get(name) != told:
                raise Violation("add lost", f"{outcome.op} told {told}, stored {new.get(name)}")
            if (low is not None and told < low) or (high is not None and told > high):
                raise Violation("bound passed", f"{outcome.op} made {told}")
            middle = {**new, name: told - delta}
            if told == delta and ABSENT in {book.own.get(name, 0), old.get(name, ABSENT)}:
                del middle[name]
            self.applied[key] = told
            if name == "n" and outcome.after is not None:
                self.ledger.counts[outcome.after] += delta
        self.changes.judge(book, old, middle, scope_of(outcome.op, book))
        self._created(outcome, before, after)
        book.known[name] = new.get(name, ABSENT) if outcome.told is None else told
        book.own.pop(name, None)
        book.maybe.discard(name)

    def take(self, book: Book, outcome: Outcome, before: State | None, after: State | None) -> None:
        """Judge `take`, into another map, too: what was taken is nowhere else."""
        into = outcome.op[0] == "into"
        prefix = "cart." if into else f"{outcome.op[1]}."
        key = self._key(book, outcome)
        old, new = before.fields if before else NOTHING, after.fields if after else NOTHING
        scope = scope_of(outcome.op, book)
        if key in self.doubtful and outcome.told is not None and before == after:
            self.applied[key] = outcome.told
        held = before is not None or self.lives.is_emptied(outcome.before)
        again = held and key in self.applied
        if again:
            first = self.applied[key]
            if outcome.error is None and first is not None and outcome.told != first:
                raise Violation("resend answered otherwise", f"{outcome.op} told {outcome.told}")
            self.changes.judge(book, old, new, scope)
            book.known = {n: v for n, v in book.known.items() if not n.startswith(prefix)}
            for target, value in _renamed(first or NOTHING).items() if into else ():
                # It goes by what the first was told.
                book.committed[target] = value
                book.known.pop(target, None)
        else:
            self._take_first(book, outcome, old, new, scope)
            if outcome.after is not None:  # where there is no session, nobody remembers that
                self.applied[key] = outcome.told if outcome.error is None else None
        self._created(outcome, before, after)
        for name in {*scope, *(outcome.told or NOTHING), *under(prefix, book.known)}:
            book.own.pop(name, None)
            if name.startswith(prefix):
                book.known[name] = ABSENT
        book.maybe |= {*under(prefix, old), *(under("order.", new) if into else ())}
        book.maybe |= {f"{prefix}{entry}" for entry in ("x", "y", "z")}
        if into:
            book.maybe |= {f"order.{entry}" for entry in ("x", "y", "z")}
            book.known |= {
                name: copied(new.get(name, ABSENT))
                for name in under("order.", book.known)
                if not again
            }

    def _take_first(
        self, book: Book, outcome: Outcome, old: Fields, new: Fields, scope: set[str]
    ) -> None:
        into = outcome.op[0] == "into"
        prefix = "cart." if into else f"{outcome.op[1]}."
        if left := under(prefix, new):
            raise Violation("taken and there", f"{left} after {outcome.op}")
        if outcome.told is None:
            # Nobody was told what was taken: only what should not have changed is looked at.
            around = (prefix, "order.") if into else (prefix,)
            keep = {n: v for n, v in old.items() if not n.startswith(around)}
            if keep != {n: v for n, v in new.items() if not n.startswith(around)}:
                raise Violation("foreign change", f"{outcome.op}: {old} became {new}")
            self.ledger.ended |= parcels(old) | parcels(book.own)
            self.changes.note(book, scope, old)
            return
        told: Fields = outcome.told
        middle = new | told
        if into:
            moved = _renamed(told)
            if any(new.get(name) != value for name, value in moved.items()):
                raise Violation("taken and nowhere", f"{told} is not in {new}")
            replaced = under("order.", old) | under("order.", book.own)
            for name in moved:
                middle.pop(name)
                if name in replaced and replaced[name] is not ABSENT:
                    middle[name] = replaced[name]
        else:
            self.ledger.taken.update(parcels(told))
        self.changes.judge(book, old, middle, scope)

    def committed(
        self, book: Book, outcome: Outcome, before: State | None, after: State | None
    ) -> None:
        """Judge a commit outside of transactions."""
        self._write(book, before, after, set(book.own))
        self._created(outcome, before, after)
        if before is not None and after is None:
            if before.user:
                raise Violation("ended a user's session", str(before))
            self.ledger.ended |= parcels(before.fields)
        # The first may have set it, or it may have waited for a session that had ended.
        again = self.changes.is_resent(book) or book.waits
        if book.limit and after and after.idle != book.limit and not again:
            raise Violation("limit lost", f"{book.limit}: {after}")
        quiet = book.limit is None and not book.waits
        if quiet and before and after and before.idle != after.idle:
            raise Violation("limit of nobody", f"{before} became {after}")
        self._limited(book, outcome)

    def _write(
        self, book: Book, before: State | None, after: State | None, scope: set[str]
    ) -> None:
        old, new = before.fields if before else NOTHING, after.fields if after else NOTHING
        self.changes.judge(book, old, new, scope)
        if before is not None and after is not None and before.user != after.user:
            raise Violation("wrong user", f"{before} became {after}")

    def close(self) -> None:
        """Judge what is there when all requests have ended.

        Raises:
            Violation: a session changed by itself or came back, or the ledger does not add up.
        """
        for reference, state in self.world.states.items():
            if self.world.held(reference) != state:
                raise Violation("foreign change", f"{state} became {self.world.held(reference)}")
        self.lives.close()
        self.ledger.close(self.world.states)

    def _key(self, book: Book, outcome: Outcome) -> tuple[str, Op, int, Reference | None]:
        nth = self.attempts[book.number, outcome.op]
        return book.name, outcome.op, nth, outcome.before


def _renamed(taken: Fields) -> Fields:
    return {f"order.{name.partition('.')[2]}": value for name, value in taken.items()}


_HANDLERS: dict[str, Any] = {
    "incr": Judge.incr,
    "take": Judge.take,
    "into": Judge.take,
    "clear": Judge.ended,
    "rotate": Judge.rotated,
    "bind": Judge.bound,
    "unbind": Judge.unbound,
    "commit": Judge.committed,
    "tx": Judge.committed,
    "end": Judge.committed,
    "tx-end": Judge.transacted,
}
