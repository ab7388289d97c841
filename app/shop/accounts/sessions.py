"""A user's sessions, one for each device: list them, end one, end all others."""

from __future__ import annotations

from unsticky import SessionInfo, session

from shop.accounts import account, credentials, login, resends
from shop.accounts.visitor import login_required, require_recent_login, required_user
from shop.context import current_shop
from shop.http.problems import Problem, quoted


def devices() -> tuple[SessionInfo, ...]:
    """Return the user's sessions, the oldest first.

    Raises:
        Problem: 401 `login-required`.
    """
    return current_shop().sessions.of(_settled_user())


def end_device(handle: str) -> None:
    """End one of the user's sessions, which may be the one of this request.

    Raises:
        Problem: 401 `login-required` or `recent-login-required`; 404 if the user has no such
            session.
    """
    resent = resends.noted() is not None
    if resent and session.user is None:
        return  # The first run of this request ended its own session.
    user = _settled_user()
    require_recent_login()
    if handle == session.handle:
        resends.note(handle)
        login.log_out()
        return
    sessions = current_shop().sessions
    own = any(device.handle == handle for device in sessions.of(user))
    if own:
        resends.note(handle)
    if not (own and sessions.revoke(handle)) and not resent:
        raise Problem(404, f"You have no session {quoted(handle)}; GET /api/sessions lists them.")


def end_other_devices() -> int:
    """End all of the user's sessions but the one of this request; return how many.

    Raises:
        Problem: 401 `login-required` or `recent-login-required`.
    """
    user = _settled_user()
    require_recent_login()
    return current_shop().sessions.revoke_all(user, keep=session)


def _settled_user() -> str:
    user = required_user()
    if not credentials.settle(user, account.read(user)):
        raise login_required()
    return user
