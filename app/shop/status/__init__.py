"""The page `/status`: all workers, how much each serves, and where one browser's requests went.

Workers publish what they do to the store, so that any of them can show all of them. A thread beside
the requests does that, so that it delays none.
"""

from flask import Flask

from shop.context import Shop
from shop.status import view
from shop.status.cookie import TrackingCookie
from shop.status.recorder import Recorder
from shop.status.store import StatusStore


def install(app: Flask, shop: Shop) -> None:
    """Add the page; the workers publish what they serve if SERVED_BY allows it."""
    shop.sessions.optional(view.show)
    app.register_blueprint(view.routes)
    if shop.settings.served_by:
        cookie = TrackingCookie(secure=shop.settings.secure_cookie)
        recorder = Recorder(app.wsgi_app, StatusStore(shop.store), cookie, shop.settings.replica)
        app.wsgi_app = recorder  # type: ignore[method-assign]  # Flask's own way
        app.extensions["shop.status"] = recorder
