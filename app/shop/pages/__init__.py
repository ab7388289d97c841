"""The pages: the same as the API, with forms and without JavaScript."""

from __future__ import annotations

from flask import Flask
from unsticky import Unsticky

from shop.pages import account, cart, login, orders, status
from shop.pages.blueprint import routes
from shop.settings import Settings

__all__ = ["account", "cart", "install", "login", "orders", "status"]


def install(app: Flask, sessions: Unsticky, settings: Settings) -> None:
    """Add the pages to the application; those that can, do without the store."""
    sessions.optional(cart.shelf)
    sessions.optional(status.show)
    app.register_blueprint(routes)
    status.install(app, settings)
