"""The account: its devices and its password.

What could lock its owner out needs a recent login. If the login is too old, a form asks for the
password, and then goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

from flask import flash, make_response, redirect, request, url_for
from unsticky import session
from werkzeug import Response

from shop import accounts
from shop.accounts import passwords
from shop.http.parsing import form_fields
from shop.http.problems import Problem
from shop.pages.blueprint import page, routes
from shop.pages.login import REFUSALS, answer, attempt, message

_SHORTEST, _LONGEST = passwords.LENGTHS[0], passwords.LENGTHS[-1]
_WRONG = "That is not your password."


@routes.errorhandler(Problem)
def refused(problem: Problem) -> Response:
    """Send a guest to the form to sign in if a page is for users; show every other problem."""
    if problem.code == "login-required":
        return redirect(url_for("pages.login", next=url_for("pages.account")), 303)
    return problem.response()


@routes.get("/account")
def account() -> str:
    """Show the user, the devices, and the form to change the password."""
    return _page({})


@routes.post("/account/end")
def end_device() -> Response:
    """End the session `handle`."""
    handle = form_fields().get("handle", "")

    def end() -> str:
        try:
            accounts.end_device(handle)
        except Problem as problem:
            if problem.status != HTTPStatus.NOT_FOUND:
                raise
            return "That device was signed out already."
        return "That device is signed out."

    return _confirmed(end)


@routes.post("/account/end-others")
def end_others() -> Response:
    """End all sessions but this one."""

    def end() -> str:
        ended = accounts.end_other_devices()
        return f"{ended} other {'device is' if ended == 1 else 'devices are'} signed out."

    return _confirmed(end)


@routes.post("/account/password")
def change_password() -> Response:
    """Change the password from `current` to `new`, which `again` repeats."""
    form = form_fields()
    current, new = form.get("current", ""), form.get("new", "")
    errors = {}
    if not current:
        errors["current"] = "Your current password is missing."
    if len(new) not in passwords.LENGTHS:
        errors["new"] = f"A new password has {_SHORTEST} to {_LONGEST} characters."
    elif form.get("again") != new:
        errors["again"] = "The two new passwords are not the same."
    if errors:
        return make_response(_page(errors), 422)
    refusal = _changed(current, new)
    if refusal:
        return answer(refusal, _page({"current": message(refusal, _WRONG)}))
    flash("Your password is changed. Every other device is signed out.")
    return redirect(url_for("pages.account"), 303)


def _changed(current: str, new: str) -> Problem | None:
    """Change the password; return the refusal if the current password was refused."""
    try:
        accounts.change_password(current, new)
    except Problem as problem:
        if problem.code in REFUSALS:
            return problem
        if problem.code != "recent-login-required":
            raise
    else:
        return None
    # The form has just asked for the password: that is the recent login.
    refusal = attempt(accounts.required_user(), current)
    if refusal is None:
        accounts.change_password(current, new)
    return refusal


def _confirmed(act: Callable[[], str]) -> Response:
    """Do what needs a recent login and say what was done; ask for the password if it must.

    The form that asks for the password holds the fields of this request, and goes to the same
    address.
    """
    form = form_fields()
    refusal = None
    errors = {}
    if "password" in form:
        refusal = attempt(accounts.required_user(), form["password"])
    if refusal is None:
        try:
            done = act()
        except Problem as problem:
            if problem.code != "recent-login-required":
                raise
            refusal = problem
        else:
            flash(done)
            return redirect(url_for("pages.account"), 303)
    else:
        errors["password"] = message(refusal, _WRONG)
    kept = {name: value for name, value in form.items() if name not in {"username", "password"}}
    return answer(refusal, page("login.html", action=request.path, kept=kept, errors=errors))


def _page(errors: Mapping[str, str]) -> str:
    devices = accounts.devices()
    return page(
        "account.html", devices=devices, here=session.handle, errors=errors, shortest=_SHORTEST
    )
