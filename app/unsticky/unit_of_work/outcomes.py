"""Errors for the outcomes of a write that changed nothing, and for wrong counters."""

from __future__ import annotations

from ..errors import OutOfRange, SessionError, StaleCredential, Unserializable
from ..fields import describe
from ..stores.base import (
    COUNTER_LIMIT,
    Change,
    Check,
    CheckNames,
    NotACounter,
    Refused,
    StaleStamp,
    TooLarge,
    Write,
    WriteOutcome,
)


def refusal(outcome: WriteOutcome) -> Exception:
    """Return the error to raise for an outcome that changed nothing."""
    match outcome:
        case Refused(_, current):
            return OutOfRange(current)
        case NotACounter(field):
            return no_counter(field)
        case TooLarge(what, size, limit):
            return Unserializable(f"the session would have {size} {what}; the limit is {limit}")
        case StaleStamp(minimum):
            return StaleCredential(minimum)
        case _:
            return SessionError(f"unexpected outcome {outcome!r}")


def no_counter(field: bytes) -> TypeError:
    """Return the error for adding to a value that is not an integer."""
    return TypeError(f"{describe(field)} holds no integer, so nothing can be added to it")


def check_counter(delta: int, minimum: int | None, maximum: int | None) -> None:
    """Refuse arguments that no counter accepts.

    Raises:
        TypeError: not an int.
        ValueError: beyond the limit of counters.
    """
    for name, value in (("delta", delta), ("minimum", minimum), ("maximum", maximum)):
        if value is None and name != "delta":
            continue
        if type(value) is not int:
            raise TypeError(f"{name} is {value!r}: counters take int")
        if abs(value) > COUNTER_LIMIT:
            raise ValueError(f"{name} is {value}: counters stay within ±{COUNTER_LIMIT}")


def read_of_nothing(changes: tuple[Change, ...]) -> dict[bytes, bytes | None]:
    """Return what of these was read of a session that holds nothing now, as it is now: absent."""
    return {
        change.prefix if isinstance(change, CheckNames) else change.field: None
        for change in changes
        if (isinstance(change, CheckNames) and change.names)
        or (isinstance(change, (Write, Check)) and isinstance(change.base, bytes))
    }
