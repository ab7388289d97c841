"""Passwords hashed as the shop does, but at a hundredth of the cost."""

from collections.abc import Callable

from shop.accounts import demo, passwords
from werkzeug.security import generate_password_hash

METHOD = "scrypt:128:8:5"


def cheapen(set_attribute: Callable[[object, str, object], None] = setattr) -> None:
    """Make hashing cheap in this process.

    Args:
        set_attribute: such as monkeypatch's, which puts back what was there.
    """
    set_attribute(passwords, "METHOD", METHOD)
    set_attribute(passwords, "_NOBODY", generate_password_hash("nobody's", METHOD))
    hashes = {user: generate_password_hash(user, METHOD) for user in demo.USERS}
    set_attribute(demo, "PASSWORD_HASHES", hashes)
