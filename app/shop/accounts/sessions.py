"""A user's sessions: list them, end one, end all others. For a guest all raise `LoginRequired`."""

from unsticky import SessionInfo, session

from shop.accounts import account, credentials, login, resends
from shop.context import current_shop
from shop.errors import UnknownSession, quoted


def list_sessions() -> tuple[SessionInfo, ...]:
    """Return the user's sessions, the oldest first."""
    return current_shop().sessions.of(_user())


def end_session(handle: str) -> None:
    """End one of the user's sessions, which may be the one of this request.

    Raises:
        RecentLoginRequired: The login is too old.
        UnknownSession: The user has no such session.
    """
    resent = resends.noted() is not None
    if resent and session.user is None:
        return  # The first run of this request ended its own session.
    user = _user()
    credentials.require_recent_login()
    if handle == session.handle:
        resends.note(handle)
        login.log_out()
        return
    stored = current_shop().sessions
    own = any(listed.handle == handle for listed in stored.of(user))
    if own:
        resends.note(handle)
    if not (own and stored.revoke(handle)) and not resent:
        text = f"You have no session {quoted(handle)}; GET /api/sessions lists them."
        raise UnknownSession(text)


def end_other_sessions() -> int:
    """End all of the user's sessions but the one of this request; return how many.

    Raises:
        RecentLoginRequired: The login is too old.
    """
    user = _user()
    credentials.require_recent_login()
    return current_shop().sessions.revoke_all(user, keep=session)


def _user() -> str:
    """Return the user; no session from before a change of the password is left."""
    user = credentials.required_user()
    credentials.finish_change(user, account.read(user))
    return user
