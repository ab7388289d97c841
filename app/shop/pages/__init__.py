"""The pages: the same as the API, with forms and without JavaScript."""

from flask import Flask

from shop.context import Shop
from shop.pages import account, cart, login, orders
from shop.pages.blueprint import routes

__all__ = ["account", "cart", "install", "login", "orders"]


def install(app: Flask, shop: Shop) -> None:
    """Add the pages to the application; the shelf can do without the store."""
    shop.sessions.optional(cart.shelf)
    app.register_blueprint(routes)
