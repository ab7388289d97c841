"""The shop in this process."""

from collections.abc import Callable

from flask import Flask
from shop.accounts import demo, passwords
from werkzeug.security import generate_password_hash

SECRET = "a0b1c2d3e4f5a6b7c8d9"
METHOD = "scrypt:128:8:5"
"""Hashes as the shop does, but at a hundredth of the cost."""


def cheapen(set_attribute: Callable[[object, str, object], None] = setattr) -> None:
    """Make hashing cheap in this process.

    Args:
        set_attribute: such as monkeypatch's, which puts back what was there.
    """
    set_attribute(passwords, "METHOD", METHOD)
    set_attribute(passwords, "_NOBODY", generate_password_hash("nobody's", METHOD))
    hashes = {user: generate_password_hash(user, METHOD) for user in demo.USERS}
    set_attribute(demo, "PASSWORD_HASHES", hashes)


def close_shop(app: Flask) -> None:
    """End the shop's thread and close its connections."""
    if status := app.extensions.get("shop.status"):
        status.close()
    app.extensions["shop"].close()
