"""Sign in and out.

A refusal is shown on the form, with the API's status, and the form keeps the name; it creates no
session.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import flash, make_response, redirect, request, url_for
from unsticky import SessionGone, session
from werkzeug import Response

from shop import accounts
from shop.context import current_shop
from shop.http.parsing import form_fields
from shop.http.problems import Problem
from shop.pages.blueprint import own_path, page, routes

REFUSALS = {"wrong-credentials", "too-many-logins", "logins-busy"}
"""The codes of a refused password, after which the same form can be shown again."""

_MINUTE = 60


@routes.get("/login")
def login() -> Response:
    """Show the form; a user who is signed in already goes on to the page in `next`."""
    after = own_path(request.args.get("next"))
    if session.user is not None:
        return redirect(after or url_for("pages.account"), 303)
    return make_response(_form(after, signed_out="signed_out" in request.args))


@routes.post("/login")
def sign_in() -> Response:
    """Sign in and go on to the page in `next`, by default to the shelf."""
    form = form_fields()
    name, password = form.get("username", ""), form.get("password", "")
    after = own_path(form.get("next"))
    errors = {}
    if not name:
        errors["username"] = "Your name is missing."
    if not password:
        errors["password"] = "The password is missing."
    if errors:
        return make_response(_form(after, name, errors), 422)
    onward = redirect(after or url_for("pages.shelf"), 303)
    try:
        refusal = attempt(name, password)
    except SessionGone as gone:
        if gone.kind != "rotated":
            raise
        # Another window signed in first; the browser already has that session's cookie.
        return onward
    if refusal:
        errors["password"] = message(refusal, "The name or the password is wrong.")
        return answer(refusal, _form(after, name, errors))
    flash(f"Welcome, {name}.")
    return onward


@routes.post("/logout")
def sign_out() -> Response:
    """Sign out and go to the form to sign in again, which says so."""
    accounts.log_out()
    return redirect(url_for("pages.login", signed_out=1), 303)


def attempt(name: str, password: str) -> Problem | None:
    """Log in; return the refusal if the same form can be shown again.

    Raises:
        Problem: Any other refusal.
        SessionError: As `accounts.log_in` raises it.
    """
    try:
        accounts.log_in(name, password)
    except Problem as problem:
        if problem.code not in REFUSALS:
            raise
        return problem
    return None


def message(refusal: Problem, wrong: str) -> str:
    """Return what a form says about a refusal of `attempt`; `wrong` if the password was wrong."""
    if refusal.code == "wrong-credentials":
        return wrong
    if refusal.code == "logins-busy":
        return refusal.detail
    seconds = int(refusal.headers["Retry-After"])
    wait = f"{seconds} seconds" if seconds < _MINUTE else f"{-(-seconds // _MINUTE)} minutes"
    return f"Too many wrong passwords. Try again in {wait}."


def answer(refusal: Problem, form: str) -> Response:
    """Return a form again, with the status and the headers of the refusal."""
    response = make_response(form, refusal.status)
    response.headers.update({"Cache-Control": "no-store", **refusal.headers})
    return response


def _form(
    after: str | None,
    name: str | None = None,
    errors: Mapping[str, str] | None = None,
    *,
    signed_out: bool = False,
) -> str:
    return page(
        "login.html",
        action=url_for("pages.sign_in"),
        kept={"next": after} if after else {},
        username=name,
        errors=errors or {},
        demo=current_shop().settings.demo,
        signed_out=signed_out,
    )
