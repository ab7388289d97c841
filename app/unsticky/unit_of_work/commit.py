"""Writing what a request changed, all or nothing, merged with what other requests changed."""

from __future__ import annotations

import logging

from flask import has_request_context, request

from ..config import OnConflict
from ..errors import Conflict, Corrupt, OutcomeUnknown, SessionError, SessionGone, StoreUnavailable
from ..fields import FLASHES, PERMANENT, describe
from ..limits import MERGE_ROUNDS
from ..stores.base import UNREAD, Change, Conflicting, Destroy, Missing, SetLimits, Write, Written
from .changes import NOTHING
from .conflicts import merge_changes
from .lifecycle import CookieAction, Presence, Rotation
from .unit import UnitOfWork

_log = logging.getLogger("unsticky")


def commit(unit: UnitOfWork) -> None:
    """Write what was changed, all or nothing.

    Raises:
        Conflict: another request changed the same, and no rule settles it.
        SessionGone: the session ended in the meantime; nothing was revived.
        StoreUnavailable, OutcomeUnknown: the store failed.
        Unserializable: a value was changed in place into one that cannot be stored.
        SessionError: a value was changed in place that is not the session's any more, because
            a transaction began or rolled back since; that change would be lost.
    """
    # Most requests end with nothing to write.
    if not (unit.changes.may_write or unit.dropped) and unit.extras.is_idle():
        return
    try:
        commit_changes(unit)
    except SessionGone:
        if not unit.stored.may_drop:
            raise
        unit.detach()


def commit_changes(unit: UnitOfWork) -> None:
    """Write all that was changed, without the exception for pages that `commit` makes."""
    unit.refuse_changed_after_drop()
    extras, stored = unit.extras, unit.stored
    if extras.end is not None:
        _commit_after_end(unit, extras.end)
        return
    changes = _changes(unit)
    if _end_if_empty(unit, changes):
        return
    rotation = extras.rotation
    if extras.removed:
        changes += _removals(unit, changes)
    begins = (rotation is not None and rotation.move.bind is not None) or _begins(unit, changes)
    limits = extras.limits if begins or stored.token is not None else None
    if limits is not None:
        changes = (*changes, limits)
    if rotation is None and not any(isinstance(c, (Write, SetLimits)) for c in changes):
        return
    write(unit, changes, rotation, create=begins)
    unbinds = rotation is not None and rotation.move.unbind
    if unbinds and limits is not None:
        write(unit, (limits,), create=False)  # the move reset all limits
    extras.emptied = unbinds
    extras.rotation = extras.limits = None
    extras.removed = ()
    if limits is not None and stored.state is Presence.ALIVE:
        stored.cookie = CookieAction.SEND


def flush(unit: UnitOfWork, *prefixes: bytes) -> None:
    """Write what was set under these prefixes, before an atomic operation works on them."""
    if not unit.changes.may_write:
        return
    changes = tuple(change for prefix in prefixes for change in unit.changes.writes(prefix))
    if changes:
        begins = any(change.value is not None for change in changes)
        write(unit, changes, create=begins)


def remove_shown_flashes(unit: UnitOfWork) -> None:
    """Remove flashed messages that a stream has shown after the response was made.

    This is the one write that is allowed then. If it fails, the messages stay and are shown again.
    """
    shown = unit.changes.get(FLASHES)
    unit.changes.delete(FLASHES)
    if shown is NOTHING or unit.stored.state is not Presence.ALIVE:
        return
    try:
        write(unit, unit.changes.writes(FLASHES), create=False)
    except SessionError as error:
        _log.warning("flashed messages stay, and will be shown again: %s", error)


def write(
    unit: UnitOfWork,
    changes: tuple[Change, ...],
    finish: Destroy | Rotation | None = None,
    *,
    create: bool,
) -> None:
    """Write changes and `finish`, merging what other requests changed.

    If there is no session, it starts one (`create`, never together with `Destroy`) or does nothing.

    Raises:
        Conflict: no rule settles what other requests changed, or they are too many.
    """
    counters, stored = unit.extension.counters, unit.stored
    for _ in range(MERGE_ROUNDS + 1):
        outcome = stored.write(changes, finish=finish, create=create)
        if isinstance(outcome, Missing):
            return
        if isinstance(outcome, Written):
            counters.commits += 1
            if not isinstance(finish, Destroy):
                unit.settle()
                unit.changes.committed(changes)
            return
        counters.merges += 1
        changes = _merged(unit, changes, outcome)
        if not changes and finish is None:
            return
    raise Conflict(tuple(describe(change.field) for change in changes if isinstance(change, Write)))


def _commit_after_end(unit: UnitOfWork, compared: tuple[Change, ...]) -> None:
    """End the session, and write what was set since to a new one."""
    write(unit, compared, Destroy(), create=False)
    unit.extras.end = None
    try:
        commit_changes(unit)
    except StoreUnavailable as error:
        raise OutcomeUnknown(
            f"the session ended, and what was set afterwards was not stored: {error}"
        ) from error


def _changes(unit: UnitOfWork) -> tuple[Change, ...]:
    """Return the changed fields, with `permanent` if it is due."""
    fields = unit.changes
    changes = fields.changes()
    token, permanent = unit.stored.token, unit.extras.permanent
    if permanent is None or fields.holds(PERMANENT):
        return changes
    if token is None:
        # Alone it starts no session, and False is what a session is without it.
        due = permanent and _begins(unit, changes)
    else:
        stored = token.permanent if fields.base is None else PERMANENT in fields.base
        due = permanent != stored or permanent != token.permanent
    if not due:
        return changes
    fields.set(PERMANENT, permanent, "session.permanent")
    return fields.changes()


def _begins(unit: UnitOfWork, changes: tuple[Change, ...]) -> bool:
    """Return whether these changes start a session; `session.permanent` alone does not."""
    return any(
        isinstance(change, Write)
        and change.value is not None
        and (change.field != PERMANENT or unit.extras.permanent is None)
        for change in changes
    )


def _removals(unit: UnitOfWork, changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """Return deletions of what a logout removes, as far as `changes` does not have them."""
    changed = {getattr(change, "field", b"") for change in changes}
    return tuple(
        Write(field, None, UNREAD)
        for field in unit.extras.removed
        if field not in changed and not unit.changes.knows(field)
    )


def _end_if_empty(unit: UnitOfWork, changes: tuple[Change, ...]) -> bool:
    """End the session if this request removed the last thing in it, as Flask does.

    It stays if another request stored something in it in the meantime.
    """
    extras, stored, fields = unit.extras, unit.stored, unit.changes
    removes = extras.emptied or any(
        # Messages that were shown are no reason: other requests may be about to write.
        isinstance(change, Write) and change.value is None and change.field != FLASHES
        for change in changes
    )
    extras.emptied = False
    if (
        not removes
        or extras.rotation is not None
        or stored.state is not Presence.ALIVE
        or stored.user is not None
        or fields.base is None
        or fields.has_any(b"")
    ):
        return False
    outcome = stored.write((*changes, fields.names(b"")), finish=Destroy("emptied"))
    if isinstance(outcome, Written):
        fields.committed(changes)
    return not isinstance(outcome, Conflicting)


def _merged(
    unit: UnitOfWork, changes: tuple[Change, ...], outcome: Conflicting
) -> tuple[Change, ...]:
    """Return what to write instead, after another request was faster.

    Raises:
        Conflict: no rule settles it, or this is a transaction.
        SessionGone: the other request's bytes are unreadable.
    """
    config = unit.extension.config
    if unit.changes.validating:
        # A merged value would no longer follow from what the view read: it runs again.
        raise _conflict(unit, tuple(describe(field) for field in outcome.current))
    try:
        result, contested = merge_changes(
            unit.changes,
            changes,
            outcome.current,
            config.merges,
            repeatable=unit.stored.retry is not None,
        )
    except Corrupt as error:
        raise unit.unreadable(outcome.current) from error
    if contested:
        conflict = _conflict(unit, contested)
        if config.on_conflict is OnConflict.CONFLICT:
            raise conflict
        unit.extension.counters.overwritten += 1
        _log.warning("last write wins on %s", ", ".join(contested))
    return result


def _conflict(unit: UnitOfWork, contested: tuple[str, ...]) -> Conflict:
    names = [name.partition("[")[0] for name in contested]  # an entry's key may be personal
    unit.extension.conflicted(request.endpoint or "" if has_request_context() else "", names)
    if not unit.changes.validating:
        _log.warning(
            "conflict on %s; to let the last write win: UNSTICKY_MERGE=%r",
            ", ".join(names),
            dict.fromkeys(names, "last"),
        )
    unit.stored.announce("session_conflict", fields=contested)
    return Conflict(contested)
