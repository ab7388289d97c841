"""The sessions of a user: list them, end one, end all others."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from .adoption import UNADOPTED
from .cookie import Reference
from .errors import OutcomeUnknown, StoreUnavailable
from .session import Session
from .state import Backend
from .stores.base import Deadline, Destroy, Operation, Written


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session of a user's list. Times are in UTC, `last_seen` to a 20th of the idle limit."""

    handle: str
    created: datetime
    last_seen: datetime
    label: str


class Directory:
    """The sessions of users, whatever worker they were made on.

    Args:
        backend: see there.
        request_id: of the request that asks, for logs and signals; empty outside of one.
    """

    def __init__(self, backend: Backend, request_id: str = "") -> None:
        self._backend = backend
        self._request_id = request_id

    def of(self, user: str) -> tuple[SessionInfo, ...]:
        """Return the living sessions bound to `user`, oldest first."""
        subject = self._backend.ring.subject(user)
        return tuple(
            SessionInfo(
                handle=entry.reference.handle,
                created=_time(entry.record.created),
                last_seen=_time(entry.record.seen or entry.record.created),
                label=entry.record.label.decode("utf-8", "replace"),
            )
            for entry in self._backend.store.sessions(subject, self._deadline())
        )

    def revoke(self, handle: str) -> bool:
        """End the session of that handle; return whether it was alive.

        Raises:
            StoreUnavailable: it may still live; try again.
        """
        reference = Reference.from_handle(handle)
        if reference is None:
            return False
        try:
            outcome = self._backend.store.write(
                reference,
                (),
                _operation(),
                self._backend.lifetimes,
                self._deadline(),
                finish=Destroy("revoked"),
            )
        except OutcomeUnknown as error:
            message = f"the session may still live: {error}"
            raise StoreUnavailable(message) from error
        if not isinstance(outcome, Written):
            return False
        user = {"user": outcome.record.user.decode()} if outcome.record.user else {}
        self._backend.emit("session_revoked", reference, self._request_id, reason="revoked", **user)
        return True

    def revoke_all(
        self, user: str, *, keep: Session | None = None, stamp: int | None = None
    ) -> int:
        """End the sessions of `user`, all but `keep`; return how many.

        Args:
            user: as given to `bind`.
            keep: the session that stays, usually the one that asks.
            stamp: the new version of the credential. A `bind` with an older one is refused from now
                on, so that a login that checked the old password cannot survive its change.

        Raises:
            StoreUnavailable: some may still live; try again.
        """
        adopts = self._backend.adoption is not None
        if adopts and keep is not None:
            keep._unit.link.adopt()  # noqa: SLF001 (the library's own)
        token = keep._unit.token if keep is not None else None  # noqa: SLF001 (the library's own)
        kept = token.reference if token is not None else None
        subject = self._backend.ring.subject(user)
        if adopts and stamp is None:
            stamp = UNADOPTED  # for the user's old cookies
        try:
            ended = self._backend.store.end_all(
                subject, kept, stamp, _operation(), self._backend.lifetimes, self._deadline()
            )
        except OutcomeUnknown as error:
            message = f"some sessions may still live: {error}"
            raise StoreUnavailable(message) from error
        for reference in ended:
            self._backend.emit(
                "session_revoked", reference, self._request_id, reason="revoke_all", user=user
            )
        return len(ended)

    def revoke_everyone(self) -> Iterator[int]:
        """End every session there is, step by step; yield how many each step ended.

        Sessions begun meanwhile may live. Each step looks at a bounded number of keys, so that
        requests go on between two steps.

        Raises:
            StoreUnavailable: the rest may still live; try again.
        """
        cursor: bytes | None = b"0"
        while cursor is not None:
            cursor, ended = self._backend.store.sweep(cursor, self._deadline())
            for reference in ended:
                self._backend.emit(
                    "session_revoked", reference, self._request_id, reason="revoke_everyone"
                )
            yield len(ended)

    def _deadline(self) -> Deadline:
        return Deadline(self._backend.policy.deadline)


def _operation() -> Operation:
    return Operation(secrets.token_bytes(16), 0)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
