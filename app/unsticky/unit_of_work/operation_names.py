"""The name that each write of a request has at the store, so that a resend is applied only once."""

from __future__ import annotations

from collections import Counter
from typing import Final

from ..limits import ONCE_LIFETIME_MS
from ..stores.base import Change, Operation

_FEW: Final = 8


class OperationNames:
    """Names the writes of one request.

    A write is named by what it does and how often this request did it, not by its position. A view
    that runs again may make other writes before it, and must not make this one twice. The store
    remembers the result of a write for `lifetime` ms.
    """

    __slots__ = ("_few", "_lifetime", "_many", "_once")

    def __init__(self, lifetime: int) -> None:
        self._lifetime = lifetime
        self._once = b""
        self._few: list[object] = []
        self._many: Counter[object] | None = None

    def once(self, name: str) -> None:
        """Use `name` for the atomic operations from here on; see `Session.once`."""
        # A header field cannot hold a NUL, so the name that a request brings cannot be equal.
        self._once = b"\0once\0" + name.encode("utf-8", "surrogatepass")

    def next(
        self, request: bytes, changes: tuple[Change, ...], finish: type, *, atomic: bool
    ) -> Operation:
        """Return the name of the request's next write.

        `finish` is the type of what happens to the session after the changes. Only an atomic
        operation can have a name by `once`.
        """
        once = self._once if atomic else b""
        write = (changes, finish, once)
        few = self._few
        if len(few) < _FEW:  # cheaper than hashing, for the two or three writes that are usual
            few.append(write)
            ordinal = few.count(write)
        else:
            if self._many is None:
                self._many = Counter()
            self._many[write] += 1
            ordinal = few.count(write) + self._many[write]
        if once:
            return Operation(once, ordinal, ONCE_LIFETIME_MS, ends_with_session=True)
        return Operation(request, ordinal, self._lifetime)
