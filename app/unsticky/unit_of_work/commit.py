"""Writing what a request changed, all or nothing, merged with what other requests changed."""

from __future__ import annotations

import logging

from ..config import OnConflict
from ..errors import Conflict, Corrupt, OutcomeUnknown, SessionError, SessionGone, StoreUnavailable
from ..fields import FLASHES, PERMANENT, describe
from ..limits import MERGE_ROUNDS
from ..stores.base import UNREAD, Change, Conflicting, Destroy, Missing, SetLimits, Write, Written
from .changes import NOTHING
from .conflicts import merge_changes
from .contents import Contents
from .lifecycle import CookieAction, Presence, Rotation

_log = logging.getLogger("unsticky")


def commit(contents: Contents) -> None:
    """Write all that was changed; for errors see `UnitOfWork.commit`."""
    try:
        commit_changes(contents)
    except SessionGone:
        if not contents.stored.may_drop:
            raise
        contents.detach()


def commit_changes(contents: Contents) -> None:
    """Write all that was changed, without the exception for pages that `commit` makes."""
    contents.refuse_changed_after_drop()
    extras, stored = contents.extras, contents.stored
    if extras.end is not None:
        _commit_after_end(contents, extras.end)
        return
    changes = _changes(contents)
    if _end_if_empty(contents, changes):
        return
    rotation = extras.rotation
    if extras.removed:
        changes += _removals(contents, changes)
    begins = (rotation is not None and rotation.move.bind is not None) or _begins(contents, changes)
    limits = extras.limits if begins or stored.token is not None else None
    if limits is not None:
        changes = (*changes, limits)
    if rotation is None and not any(isinstance(c, (Write, SetLimits)) for c in changes):
        return
    write(contents, changes, rotation, create=begins)
    unbinds = rotation is not None and rotation.move.unbind
    if unbinds and limits is not None:
        write(contents, (limits,), create=False)  # the move reset all limits
    extras.emptied = unbinds
    extras.rotation = extras.limits = None
    extras.removed = ()
    if limits is not None and stored.state is Presence.LIVE:
        stored.cookie = CookieAction.SEND


def flush(contents: Contents, *prefixes: bytes) -> None:
    """Write what was set under these prefixes, before an atomic operation works on them."""
    if not contents.changes.may_write:
        return
    changes = tuple(change for prefix in prefixes for change in contents.changes.writes(prefix))
    if changes:
        begins = any(change.value is not None for change in changes)
        write(contents, changes, create=begins)


def remove_shown_flashes(contents: Contents) -> None:
    """Remove flashed messages that a stream has shown after the response was made.

    This is the one write that is allowed then. If it fails, the messages stay and are shown again.
    """
    shown = contents.changes.get(FLASHES)
    contents.changes.delete(FLASHES)
    if shown is NOTHING or contents.stored.state is not Presence.LIVE:
        return
    try:
        write(contents, contents.changes.writes(FLASHES), create=False)
    except SessionError as error:
        _log.warning("flashed messages stay, and will be shown again: %s", error)


def write(
    contents: Contents,
    changes: tuple[Change, ...],
    finish: Destroy | Rotation | None = None,
    *,
    create: bool,
) -> None:
    """Write changes, merging what other requests changed; nothing if there is no session.

    Args:
        contents: the session.
        changes: what to write.
        finish: end the session, or give it a new id, in the same step.
        create: start a session if there is none. Never together with `Destroy`.

    Raises:
        Conflict: no rule settles what other requests changed, or they are too many.
    """
    counters, stored = contents.extension.counters, contents.stored
    for _ in range(MERGE_ROUNDS + 1):
        if create and not isinstance(finish, Destroy):
            outcome: Written | Conflicting | Missing
            outcome = stored.write_or_create(changes, rotation=finish)
        else:
            outcome = stored.write(changes, finish=finish)
        if isinstance(outcome, Missing):
            return
        if isinstance(outcome, Written):
            counters.commits += 1
            if not isinstance(finish, Destroy):
                contents.settle()
                contents.changes.committed(changes)
            return
        counters.merges += 1
        changes = _merged(contents, changes, outcome)
        if not changes and finish is None:
            return
    raise Conflict(tuple(describe(change.field) for change in changes if isinstance(change, Write)))


def _commit_after_end(contents: Contents, compared: tuple[Change, ...]) -> None:
    """End the session, and write what was set since to a new one."""
    write(contents, compared, Destroy(), create=False)
    contents.extras.end = None
    try:
        commit_changes(contents)
    except StoreUnavailable as error:
        raise OutcomeUnknown(
            f"the session ended, and what was set afterwards was not stored: {error}"
        ) from error


def _changes(contents: Contents) -> tuple[Change, ...]:
    """Return the changed fields, with `permanent` if it is due."""
    fields = contents.changes
    changes = fields.changes()
    token, permanent = contents.stored.token, contents.extras.permanent
    if permanent is None or fields.holds(PERMANENT):
        return changes
    if token is None:
        # Alone it starts no session, and False is what a session is without it.
        due = permanent and _begins(contents, changes)
    else:
        stored = token.permanent if fields.base is None else PERMANENT in fields.base
        due = permanent != stored or permanent != token.permanent
    if not due:
        return changes
    fields.set(PERMANENT, permanent, "session.permanent")
    return fields.changes()


def _begins(contents: Contents, changes: tuple[Change, ...]) -> bool:
    """Return whether these changes start a session; `session.permanent` alone does not."""
    return any(
        isinstance(change, Write)
        and change.value is not None
        and (change.field != PERMANENT or contents.extras.permanent is None)
        for change in changes
    )


def _removals(contents: Contents, changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """Return deletions of what a logout removes, as far as `changes` does not have them."""
    changed = {getattr(change, "field", b"") for change in changes}
    return tuple(
        Write(field, None, UNREAD)
        for field in contents.extras.removed
        if field not in changed and not contents.changes.knows(field)
    )


def _end_if_empty(contents: Contents, changes: tuple[Change, ...]) -> bool:
    """End the session if this request removed the last thing in it, as Flask does.

    It stays if another request stored something in it in the meantime.
    """
    extras, stored, fields = contents.extras, contents.stored, contents.changes
    removes = extras.emptied or any(
        # Messages that were shown are no reason: other requests may be about to write.
        isinstance(change, Write) and change.value is None and change.field != FLASHES
        for change in changes
    )
    extras.emptied = False
    if (
        not removes
        or extras.rotation is not None
        or stored.state is not Presence.LIVE
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
    contents: Contents, changes: tuple[Change, ...], outcome: Conflicting
) -> tuple[Change, ...]:
    """Return what to write instead, after another request was faster.

    Raises:
        Conflict: no rule settles it, or this is a transaction.
        SessionGone: the other request's bytes are unreadable.
    """
    config = contents.extension.config
    if contents.changes.validating:
        # A merged value would no longer follow from what the view read: it runs again.
        raise _conflict(contents, tuple(describe(field) for field in outcome.current))
    try:
        result, contested = merge_changes(
            contents.changes,
            changes,
            outcome.current,
            config.merges,
            repeatable=contents.stored.retry is not None,
        )
    except Corrupt as error:
        raise contents.unreadable(outcome.current) from error
    if contested:
        conflict = _conflict(contents, contested)
        if config.on_conflict is OnConflict.CONFLICT:
            raise conflict
        contents.extension.counters.overwritten += 1
        _log.warning("last write wins on %s", ", ".join(contested))
    return result


def _conflict(contents: Contents, contested: tuple[str, ...]) -> Conflict:
    contents.extension.counters.conflicts += 1
    if not contents.changes.validating:
        names = [name.partition("[")[0] for name in contested]  # an entry's key may be personal
        _log.warning(
            "conflict on %s; to let the last write win: UNSTICKY_MERGE=%r",
            ", ".join(names),
            dict.fromkeys(names, "last"),
        )
    contents.stored.announce("session_conflict", fields=contested)
    return Conflict(contested)
