"""The shop itself, with one more call, which the race of logouts needs.

`loadtest.frameworks.apps.shop_cart:create_app()`, with the shop's own environment.
"""

import os
from typing import Any, cast

import redis
import shop
from flask import Flask, session

from loadtest.frameworks.contract import GATE_SECONDS


def create_app() -> Flask:
    """Return the shop."""
    app = shop.create_app()
    store = redis.Redis.from_url(os.environ["REDIS_URL"])

    @app.post("/late/<gate>")
    def late(gate: str) -> dict[str, Any]:
        """Add to the cart once the session was read and the driver has opened the gate."""
        lines = cast("Any", session).map("cart")
        lines.items()
        store.rpush(f"held:{gate}", 1)
        store.blpop([f"go:{gate}"], timeout=GATE_SECONDS)
        return {"milk": lines.incr("milk")}

    return app
