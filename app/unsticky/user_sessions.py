"""The sessions of a user: list them, end one, end all others."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from .adoption import UNADOPTED
from .cookie import Reference
from .errors import repeatable
from .session import Session
from .state import ExtensionState
from .stores.base import Deadline, Destroy, Operation, Written


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session in a user's list.

    Attributes:
        handle: a name that is safe to show.
        created: when it was created or bound, in UTC.
        last_seen: when a request last used it, in UTC, to within a 20th of the idle limit.
        label: what `bind` was given to show for it.
    """

    handle: str
    created: datetime
    last_seen: datetime
    label: str


class UserSessions:
    """The sessions of users, on all workers; `request_id` is for logs and signals."""

    def __init__(self, extension: ExtensionState, request_id: str = "") -> None:
        self._extension = extension
        self._request_id = request_id

    def of(self, user: str) -> tuple[SessionInfo, ...]:
        """Return the living sessions bound to `user`, oldest first."""
        self._extension.need_users("a list of sessions")
        deadline = self._deadline()
        entries = [
            entry
            for subject in self._extension.ring.subjects(user)
            for entry in self._extension.store.sessions(subject, deadline)
        ]
        return tuple(
            SessionInfo(
                handle=entry.reference.handle,
                created=_time(entry.record.created),
                last_seen=_time(entry.record.seen or entry.record.created),
                label=entry.record.label.decode("utf-8", "replace"),
            )
            for entry in sorted(entries, key=lambda entry: entry.record.created)
        )

    def revoke(self, handle: str) -> bool:
        """End the session with that handle; return whether it was alive.

        Raises:
            StoreUnavailable: it may still be alive; try again.
        """
        reference = Reference.from_handle(handle)
        if reference is None:
            return False
        extension, finish = self._extension, Destroy("revoked")
        with repeatable("the session may still be alive: "):
            outcome = extension.store.write(
                reference, (), _operation(), extension.lifetimes, self._deadline(), finish=finish
            )
        if not isinstance(outcome, Written):
            return False
        user = {"user": outcome.record.user.decode()} if outcome.record.user else {}
        self._extension.announce(
            "session_revoked", reference, self._request_id, reason="revoked", **user
        )
        return True

    def revoke_all(
        self, user: str, *, keep: Session | None = None, stamp: int | None = None
    ) -> int:
        """End the sessions of `user`, all but `keep`; return how many.

        Args:
            user: as given to `bind`.
            keep: the session that stays, usually the current one.
            stamp: the new credential version. A `bind` with an older one is refused from now on, so
                that a login that checked the old password cannot survive the change.

        Raises:
            StoreUnavailable: some may still be alive; try again.
        """
        adopts = self._extension.adoption is not None
        kept = None
        if keep is not None:
            if adopts:
                keep._unit.adopt()  # noqa: SLF001 (the library's own)
            token = keep._unit.token  # noqa: SLF001 (likewise)
            kept = token.reference if token is not None else None
        if adopts and stamp is None:
            stamp = UNADOPTED  # refuses the user's old cookies
        with repeatable("some sessions may still be alive: "):
            return self._end_all(user, kept, stamp, reason="revoke_all")

    def erase(self, user: str) -> int:
        """End the sessions of `user` and delete what the store holds of the user; return how many.

        If sessions made before are adopted, a stamp stays, which refuses the user's old cookies.

        Raises:
            StoreUnavailable: something may be left; try again.
        """
        if self._extension.adoption is not None:
            return self.revoke_all(user)
        with repeatable("something may be left: "):
            return self._end_all(user, None, None, reason="erase", forget=True)

    def revoke_everyone(self) -> Iterator[int]:
        """End all sessions of all users, step by step; yield how many each step ended.

        Sessions that start in the meantime may stay. Each step looks at a limited number of keys,
        so that requests are served between two steps.

        Raises:
            StoreUnavailable: the rest may still be alive; try again.
        """
        cursor: bytes | None = b"0"
        while cursor is not None:
            cursor, ended = self._extension.store.sweep(cursor, self._deadline())
            for reference in ended:
                self._extension.announce(
                    "session_revoked", reference, self._request_id, reason="revoke_everyone"
                )
            yield len(ended)

    def _end_all(
        self,
        user: str,
        kept: Reference | None,
        stamp: int | None,
        *,
        reason: str,
        forget: bool = False,
    ) -> int:
        """End a user's sessions under each pepper; return how many."""
        self._extension.need_users("to end the sessions of a user")
        extension, deadline, count = self._extension, self._deadline(), 0
        for subject in extension.ring.subjects(user):
            ended = extension.store.end_all(
                subject, kept, stamp, _operation(), extension.lifetimes, deadline, forget=forget
            )
            for reference in ended:
                extension.announce(
                    "session_revoked", reference, self._request_id, reason=reason, user=user
                )
            count += len(ended)
        return count

    def _deadline(self) -> Deadline:
        return Deadline(self._extension.config.deadline)


def _operation() -> Operation:
    return Operation(secrets.token_bytes(16), 0)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
