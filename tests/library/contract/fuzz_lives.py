"""Judges which sessions begin again: one that was emptied, by who held it, under the id it had.

It held nothing any more, and was nobody's. All requests that were under way begin the same one, so
that none of what they acknowledge is beside it. To end, move, bind or unbind it gives up the id.
"""

from unsticky import OutcomeUnknown
from unsticky.cookie import Reference

from tests.library.contract.fuzz_books import Book, Violation
from tests.library.contract.fuzz_outcomes import Outcome
from tests.library.contract.fuzz_world import State, World

_GIVE_UP = frozenset({"clear", "rotate", "bind", "unbind"})


class Lives:
    """See the module.

    Args:
        world: where it happens.

    Attributes:
        emptied: each session that was emptied, and when.
        bound: each of these that was left by a login, and when.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.emptied: set[tuple[Reference, int]] = set()
        self.bound: dict[Reference, int] = {}
        self._unsure: set[Reference] = set()

    def takes_up(self, book: Book, outcome: Outcome, before: State | None) -> bool:
        """Tell whether a request that holds none acted on the one that it knew as emptied.

        Others may have begun it again: what they put there is what the step met, and it is entered
        into the outcome as what the request held.

        Raises:
            Violation: it began another one beside it.
        """
        last = book.last
        if last is None or last in book.left or not self._was_emptied(last):
            return False
        state = self.world.states.get(last)
        if outcome.error is None and last != outcome.after and state == before:
            gives_up = outcome.op[0] in _GIVE_UP or book.moves or book.ends
            begins = outcome.after is not None and not gives_up
            if begins and (state is not None or self.is_emptied(last)):
                raise Violation("begun beside", f"{outcome.op}: {state} is there")
            return False
        outcome.before = last
        if outcome.error is not None:
            outcome.after = outcome.after or last
        return True

    def step(self, book: Book, outcome: Outcome, before: State | None) -> None:
        """Take what a step ended, and which id it gave up.

        Raises:
            Violation: it set something under an id that it had given up.
        """
        name, held = outcome.op[0], outcome.before
        moves = name == "tx-end" and (book.moves or book.ends)
        self._bind(book, outcome)
        ends = name in {"commit", "end", "tx"} or (name == "tx-end" and not moves)
        alone = before is not None and not before.user
        if ends and alone and held is not None and self.world.states.get(held) is None:
            self.emptied.add((held, self.world.now))
        if outcome.error is None and (name in _GIVE_UP or moves):
            book.left.update(book.references)
        if outcome.after in book.left and self.world.states.get(outcome.after) is not None:
            raise Violation("old id begun again", f"{outcome.op}: {outcome.after}")

    def _bind(self, book: Book, outcome: Outcome) -> None:
        """Take whether a login, or another move with changes, left nothing where it was."""
        name, last = outcome.op[0], book.last
        moves = name == "bind" or (name == "tx-end" and book.moves and not book.ends)
        if not moves or last is None or last in book.left:
            return
        if isinstance(outcome.error, OutcomeUnknown):
            self._unsure.add(last)
        elif outcome.error is None and outcome.after is not None:
            self.bound.setdefault(last, self.world.now)

    def is_emptied(self, reference: Reference | None) -> bool:
        """Tell whether a session ended by being emptied, and has not begun again."""
        if reference is None or reference in self._unsure or reference in self.bound:
            return False
        when, state = self.world.history.get(reference, [(0, None)])[-1]
        return state is None and (reference, when) in self.emptied

    def close(self) -> None:
        """Judge all that began again.

        Raises:
            Violation: one had not been emptied, or a login had left it.
        """
        for reference, history in self.world.history.items():
            lived, ended = False, -1
            for when, state in history:
                if state is None:
                    ended = when
                    continue
                late = when > self.bound.get(reference, when)
                if lived and ended >= 0 and ((reference, ended) not in self.emptied or late):
                    raise Violation("revived", f"{[later for _, later in history]}")
                lived, ended = True, -1

    def _was_emptied(self, reference: Reference) -> bool:
        return any(reference == other for other, _ in self.emptied)
