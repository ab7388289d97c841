"""The kinds of session that are compared, by the names that tables and command lines use."""

from enum import StrEnum


class Kind(StrEnum):
    """Where a cart is kept."""

    NONE = "none"
    """Nowhere: the same view without a session, the floor of every comparison."""
    COOKIE = "flask-cookie"
    """Flask's own session: all of it, signed, in the browser's cookie."""
    BLOB = "blob"
    """One GETEX for each request and one SET for each change, without any guarantee."""
    FLASK_SESSION = "flask-session"
    """The Flask-Session package on the same store."""
    UNSTICKY = "unsticky"
    """This library, the cart being a `session.map`."""
    UNSTICKY_PLAIN = "unsticky-plain"
    """This library under the code of a plain Flask application: the cart is a dict."""
