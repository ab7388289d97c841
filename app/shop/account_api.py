"""The calls of the JSON API that log in and out and change the password."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from shop import accounts
from shop.accounts import credentials, passwords
from shop.body import json_object
from shop.fields import Fields

routes = Blueprint("account_api", __name__, url_prefix="/api")


@routes.post("/login")
def log_in() -> Response:
    """Log in as ``username`` with ``password``."""
    fields = Fields(json_object())
    user = fields.secret("username", credentials.LENGTHS)
    password = fields.secret("password", credentials.LENGTHS)
    fields.check()
    accounts.log_in(user, password)
    return jsonify(user=user)


@routes.post("/logout")
def log_out() -> Response:
    """End the session, if there is one."""
    accounts.log_out()
    return Response(status=204)


@routes.put("/password")
def change_password() -> Response:
    """Change the password from ``current`` to ``new``; all other sessions of the user end."""
    fields = Fields(json_object())
    current = fields.secret("current", credentials.LENGTHS)
    new = fields.secret("new", passwords.LENGTHS)
    fields.check()
    accounts.change_password(current, new)
    return Response(status=204)
