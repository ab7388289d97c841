"""What came of a step, and whether it may have been refused."""

from dataclasses import dataclass
from typing import Any

from unsticky import (
    Conflict,
    OutcomeUnknown,
    OutOfRange,
    SessionError,
    SessionGone,
    StoreUnavailable,
)
from unsticky.cookie import Reference

from tests.library.contract.fuzz_books import Book, Violation, under
from tests.library.contract.fuzz_cases import Op
from tests.library.contract.fuzz_world import ABSENT, NOTHING, State


@dataclass
class Outcome:
    """What came of a step.

    Attributes:
        op: what was done.
        told: what the view was told, None where it was not told, or nothing.
        error: what it raised, or what the answer says.
        before, after: the session that it held.
        fired: whether the store failed in this step.
    """

    op: Op
    told: Any
    error: Exception | None
    before: Reference | None
    after: Reference | None
    fired: bool


def check_reason(book: Book, outcome: Outcome, before: State | None, *, came_before: bool) -> None:
    """Demand that what was refused had to be.

    Args:
        book: of the request.
        outcome: what came of the step.
        before: what the session was before.
        came_before: whether the request was sent before, too, and its session ended since.

    Raises:
        Violation: nothing stood against it.
    """
    error, old = outcome.error, before.fields if before else NOTHING
    fair = True
    match error:
        case Conflict():
            # In a transaction what was set to what had been loaded is compared, too.
            fair = (
                any(old.get(name, ABSENT) != value for name, value in book.known.items())
                or any(
                    old.get(name, ABSENT) != value and book.may_be_as_loaded(name)
                    for name, value in book.own.items()
                )
                or bool(book.listings or book.looked or book.maybe or book.before_end)
            )
        case SessionGone():
            fair = outcome.before is not None and before is None
        case OutcomeUnknown() if came_before:
            pass  # it may have been applied to the session that ended
        case OutcomeUnknown() | StoreUnavailable():
            fair = outcome.fired
        case OutOfRange() if outcome.op[0] == "incr":
            _, _, delta, low, high = outcome.op
            current = error.current + delta
            fair = not (low is None or low <= current) or not (high is None or current <= high)
        case OutOfRange():
            pass  # in a transaction; the book looked at it
        case SessionError():
            fair = "Read it from the session again" in str(error)
        case _:
            fair = False
    if not fair:
        raise Violation("refused without reason", f"{outcome.op} raised {error!r}")


def scope_of(op: Op, book: Book) -> set[str]:
    """Return the fields whose changes an operation writes, first or alone."""
    match op:
        case ("incr", name, *_):
            return {name} & book.own.keys()
        case ("take", name):
            return set(under(f"{name}.", book.own))
        case ("into",):
            return {*under("cart.", book.own), *under("order.", book.own)}
        case ("commit" | "end" | "tx" | "tx-end" | "bind", *_):
            return set(book.own)
    return set()


def kind_of_refusal(why: Violation | None) -> str:
    """Name what a refused step did all the same."""
    telling = {"written again", "end and new beginning torn"}
    return why.kind if why is not None and why.kind in telling else "refused, yet written"
