"""The shop itself, with one call more: what the race of logouts needs.

`peers.apps.shop_cart:create_app()`, with the shop's own environment.
"""

import os
from typing import Any

import redis
import shop
from flask import Flask
from shop import cart

from peers.apps.cart import GATE_SECONDS


def create_app() -> Flask:
    """Return the shop."""
    app = shop.create_app()
    store = redis.Redis.from_url(os.environ["REDIS_URL"])

    @app.post("/late/<gate>")
    def late(gate: str) -> dict[str, Any]:
        """Add to the cart, but only after the session was read and the driver gave a sign."""
        cart.lines()
        store.rpush(f"held:{gate}", 1)
        store.blpop([f"go:{gate}"], timeout=GATE_SECONDS)
        cart.add("milk", 1)
        return cart.document()

    return app
