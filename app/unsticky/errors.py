"""The errors that the library raises, each with its HTTP answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class SessionError(Exception):
    """Base of all errors of this library.

    Attributes:
        status: the HTTP status of the answer.
        code: a stable name for programs, the `code` member of the problem document.
        title: a short sentence for people, always the same for this error.
        retry_after: seconds after which the client may send the same request again; None if that
            would be wrong or useless.
        cause: of a failure of the store, for counters: "timeout", "breaker", or "" for any other.
    """

    cause: str = ""
    status: ClassVar[int] = 500
    code: ClassVar[str] = "session-error"
    title: ClassVar[str] = "The session could not be used"
    retry_after: ClassVar[int | None] = None

    @property
    def detail(self) -> str:
        """What a visitor may read; never the store's address."""
        return str(self)


class ConfigurationError(SessionError, ValueError):
    """A setting is missing, malformed or contradicts another."""

    code = "session-misconfigured"
    title = "The session library is configured wrongly"

    @classmethod
    def of(cls, setting: str, value: object, hint: str) -> ConfigurationError:
        """Return the error for a setting's value; `hint` says what to use instead."""
        return cls(f"{setting} is {value!r}: {hint}")


class Conflict(SessionError):
    """Another request changed the same field in the meantime; this commit wrote no field.

    Attributes:
        fields: the names of the contested fields.
    """

    status = 409
    code = "session-conflict"
    title = "Another request changed the same data"

    def __init__(self, fields: tuple[str, ...]) -> None:
        super().__init__(
            f"changed by another request since this one read it: {', '.join(fields)}; "
            "no field was written; atomic operations that were answered before stay"
        )
        self.fields = fields


class SessionGone(SessionError):
    """The session ended while this request held it; nothing was written.

    Attributes:
        kind: how it ended: destroyed, emptied, rotated, revoked, expired or corrupt.
    """

    status = 409
    code = "session-gone"
    title = "The session has ended"

    def __init__(self, kind: str) -> None:
        super().__init__(
            f"the session was {kind} while this request was running; nothing was written"
        )
        self.kind = kind


class OutOfRange(SessionError, ValueError):
    """A counter would leave its bounds; it was not changed.

    Attributes:
        current: the counter's value.
    """

    status = 409
    code = "out-of-range"
    title = "The value would leave its bounds"

    def __init__(self, current: int) -> None:
        super().__init__(f"refused: the value stays {current}")
        self.current = current


class StaleCredential(SessionError):
    """`bind` got a credential version older than the one that `revoke_all` recorded.

    Attributes:
        minimum: the version that `bind` needs at least.
    """

    status = 401
    code = "stale-credential"
    title = "The credential was changed"

    def __init__(self, minimum: int) -> None:
        super().__init__(
            f"the credential was replaced; sessions need a version of at least {minimum}"
        )
        self.minimum = minimum


class StoreUnavailable(SessionError):
    """The store cannot be used now. Nothing was changed, or repeating the call does no harm."""

    status = 503
    code = "store-unavailable"
    title = "The session store is unavailable"
    retry_after = 1

    detail = "Nothing was changed. Try again in a moment."


class OutcomeUnknown(SessionError):
    """A write was sent and no answer came in time; it may or may not have happened.

    There is no `Retry-After`: repeating it could apply it twice.
    """

    status = 503
    code = "outcome-unknown"
    title = "It is not known whether the change was stored"

    detail = "The change may or may not have been stored. Look before you repeat it."


@contextmanager
def repeatable(context: str = "") -> Iterator[None]:
    """Raise `StoreUnavailable` for `OutcomeUnknown`: repeating the call does no harm."""
    try:
        yield
    except OutcomeUnknown as error:
        raise StoreUnavailable(f"{context}{error}") from error


class Unserializable(SessionError, TypeError):
    """A value cannot be stored as it is: its type, size or depth; the message names the path."""

    code = "session-unserializable"
    title = "A session value cannot be stored"


class Corrupt(SessionError):
    """This library did not write these stored bytes; their session is set aside."""

    code = "session-corrupt"
    title = "The stored session is unreadable"
