"""Signing in and out.

What is refused is told on the form, with the API's status and the name kept: an
error neither creates a session nor writes one.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import flash, make_response, redirect, request, url_for
from unsticky import SessionGone
from werkzeug import Response

from shop import accounts
from shop.body import form_fields
from shop.current import current_shop
from shop.pages.blueprint import own_path, page, routes
from shop.problems import Problem

_MINUTE = 60


@routes.get("/login")
def login() -> Response:
    """Show the form; ``next`` names the page to go on to, at once by who is signed in already."""
    after = own_path(request.args.get("next"))
    if accounts.current_user() is not None:
        return redirect(after or url_for("pages.account"), 303)
    return make_response(_form(after, signed_out="signed_out" in request.args))


@routes.post("/login")
def sign_in() -> Response:
    """Sign in and go on to ``next``, by default to the shelf."""
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
        # Another window signed in first, and its session is what the browser holds now.
        return onward
    if refusal:
        wrong = "That name and that password do not belong together."
        errors["password"] = told(refusal, wrong)
        return answer(refusal, _form(after, name, errors))
    flash(f"Welcome, {name}.")
    return onward


@routes.post("/logout")
def sign_out() -> Response:
    """Sign out and say so on the form to sign in again."""
    accounts.log_out()
    return redirect(url_for("pages.login", signed_out=1), 303)


def attempt(name: str, password: str) -> Problem | None:
    """Log in; return why not, where the form that asked is to be shown again.

    Raises:
        Problem: What no form can mend.
        SessionError: As `accounts.log_in` raises it.
    """
    try:
        accounts.log_in(name, password)
    except Problem as problem:
        if problem.code not in {"wrong-credentials", "too-many-logins"}:
            raise
        return problem
    return None


def told(refusal: Problem, wrong: str) -> str:
    """Return what a form says of a refusal that `attempt` returned.

    Args:
        refusal: It.
        wrong: What to say where it was the password.
    """
    if refusal.code == "wrong-credentials":
        return wrong
    seconds = int(refusal.headers["Retry-After"])
    wait = f"{seconds} seconds" if seconds < _MINUTE else f"{-(-seconds // _MINUTE)} minutes"
    return f"Too many wrong passwords. Try again in {wait}."


def answer(refusal: Problem, form: str) -> Response:
    """Return a form again, with the status and the header fields of the refusal."""
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
