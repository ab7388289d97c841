"""The account: its sessions and its password.

What could lock its owner out needs a recent login. If the login is too old, a form asks for the
password, and then goes on.
"""

from collections.abc import Callable, Mapping

from flask import flash, make_response, redirect, request, url_for
from unsticky import session
from werkzeug import Response

from shop import accounts
from shop.errors import LoginRequired, PasswordRefused, RecentLoginRequired, UnknownSession
from shop.http.parsing import form_fields
from shop.pages.blueprint import page, routes
from shop.pages.login import message, refused

_SHORTEST, _LONGEST = accounts.NEW_LENGTHS[0], accounts.NEW_LENGTHS[-1]
_WRONG = "That is not your password."


@routes.errorhandler(LoginRequired)
def send_to_login(_: LoginRequired) -> Response:
    """Send a guest to the form to log in if a page is for users."""
    return redirect(url_for("pages.login", next=url_for("pages.account")), 303)


@routes.get("/account")
def account() -> str:
    """Show the user, the sessions, and the form to change the password."""
    return _page({})


@routes.post("/account/end")
def end_session() -> Response:
    """End the session `handle`."""
    handle = form_fields().get("handle", "")

    def end() -> str:
        try:
            accounts.end_session(handle)
        except UnknownSession:
            return "That session had ended already."
        return "That session is ended."

    return _confirmed(end)


@routes.post("/account/end-others")
def end_others() -> Response:
    """End all sessions but this one."""

    def end() -> str:
        ended = accounts.end_other_sessions()
        return f"{ended} other {'session is' if ended == 1 else 'sessions are'} ended."

    return _confirmed(end)


@routes.post("/account/password")
def change_password() -> Response:
    """Change the password from `current` to `new`, which `again` repeats."""
    form = form_fields()
    current, new = form.get("current", ""), form.get("new", "")
    errors = {}
    if not current:
        errors["current"] = "Your current password is missing."
    if len(new) not in accounts.NEW_LENGTHS:
        errors["new"] = f"A new password has {_SHORTEST} to {_LONGEST} characters."
    elif form.get("again") != new:
        errors["again"] = "The two new passwords are not the same."
    if errors:
        return make_response(_page(errors), 422)
    try:
        try:
            accounts.change_password(current, new)
        except RecentLoginRequired:
            # The form has just asked for the password: that is the recent login.
            accounts.log_in(accounts.required_user(), current)
            accounts.change_password(current, new)
    except PasswordRefused as refusal:
        return refused(refusal, _page({"current": message(refusal, _WRONG)}))
    flash("Your password is changed. All your other sessions are ended.")
    return redirect(url_for("pages.account"), 303)


def _confirmed(act: Callable[[], str]) -> Response:
    """Do what needs a recent login and say what was done; ask for the password if it must.

    The form that asks for the password holds the fields of this request, and goes to the same
    address.
    """
    form = form_fields()
    try:
        if "password" in form:
            accounts.log_in(accounts.required_user(), form["password"])
        flash(act())
        return redirect(url_for("pages.account"), 303)
    except (RecentLoginRequired, PasswordRefused) as error:
        refusal = error
    errors = {}
    if isinstance(refusal, PasswordRefused):
        errors["password"] = message(refusal, _WRONG)
    kept = {name: value for name, value in form.items() if name not in {"username", "password"}}
    return refused(refusal, page("login.html", action=request.path, kept=kept, errors=errors))


def _page(errors: Mapping[str, str]) -> str:
    return page(
        "account.html",
        sessions=accounts.list_sessions(),
        here=session.handle,
        errors=errors,
        shortest=_SHORTEST,
    )
