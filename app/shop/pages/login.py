"""Log in and out.

A refusal is shown on the form, with the API's status, and the form keeps the name; it creates no
session.
"""

from collections.abc import Mapping

from flask import flash, make_response, redirect, request, url_for
from unsticky import SessionGone, session
from werkzeug import Response

from shop import accounts
from shop.context import current_shop
from shop.errors import PasswordRefused, Refusal, WrongCredentials
from shop.http.parsing import form_fields
from shop.http.problems import of_refusal
from shop.pages.blueprint import own_path, page, routes


@routes.get("/login")
def login() -> Response:
    """Show the form; a user who is logged in already goes on to the page in `next`."""
    after = own_path(request.args.get("next"))
    if session.user is not None:
        return redirect(after or url_for("pages.account"), 303)
    return make_response(_form(after, logged_out="logged_out" in request.args))


@routes.post("/login")
def log_in() -> Response:
    """Log in and go on to the page in `next`, by default to the shelf."""
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
        accounts.log_in(name, password)
    except PasswordRefused as refusal:
        errors["password"] = message(refusal, "The name or the password is wrong.")
        return refused(refusal, _form(after, name, errors))
    except SessionGone as gone:
        if gone.kind != "rotated":
            raise
        # Another window logged in first; the browser already has that session's cookie.
        return onward
    flash(f"Welcome, {name}.")
    return onward


@routes.post("/logout")
def log_out() -> Response:
    """Log out and go to the form to log in again, which says so."""
    accounts.log_out()
    return redirect(url_for("pages.login", logged_out=1), 303)


def message(refusal: PasswordRefused, wrong: str) -> str:
    """Return what a form says about a refused password; `wrong` if it was wrong."""
    return wrong if isinstance(refusal, WrongCredentials) else str(refusal)


def refused(refusal: Refusal, form: str) -> Response:
    """Return a form again, with the status and the headers of a refusal."""
    problem = of_refusal(refusal)
    headers = {"Cache-Control": "no-store", **problem.headers}
    return make_response(form, problem.status, headers)


def _form(
    after: str | None,
    name: str | None = None,
    errors: Mapping[str, str] | None = None,
    *,
    logged_out: bool = False,
) -> str:
    return page(
        "login.html",
        action=url_for("pages.log_in"),
        kept={"next": after} if after else {},
        username=name,
        errors=errors or {},
        demo=current_shop().settings.demo,
        logged_out=logged_out,
    )
