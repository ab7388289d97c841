"""Starlette with starsessions in Redis.

`loadtest.frameworks.apps.starlette_cart:app`, with the store's URL in REDIS_URL.
"""

import os
from typing import Any

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starsessions import SessionMiddleware, load_session, regenerate_session_id
from starsessions.stores.redis import RedisStore

from loadtest.frameworks import contract
from loadtest.frameworks.apps import cart
from loadtest.frameworks.apps.cart import Refused

_redis: Any = Redis.from_url(os.environ["REDIS_URL"])


async def show(request: Request) -> Response:
    """Show the cart."""
    return JSONResponse(cart.shown(await _lines(request)))


async def add(request: Request) -> Response:
    """Add to a line."""
    return await _added(request, *cart.wanted(await _body(request)))


async def login(request: Request) -> Response:
    """Log a user in, under a new id."""
    user = str((await _body(request))["username"])
    await load_session(request)
    regenerate_session_id(request)
    request.session["user"] = user
    return JSONResponse({"user": user})


async def logout(request: Request) -> Response:
    """End the session."""
    await load_session(request)
    request.session.clear()
    return Response(status_code=204)


async def whose(request: Request) -> Response:
    """Return who is logged in."""
    await load_session(request)
    return JSONResponse({"user": request.session.get("user")})


async def late(request: Request) -> Response:
    """Add to the cart once the session was read and the driver has opened the gate."""
    gate = request.path_params["gate"]
    await load_session(request)
    await _redis.rpush(f"held:{gate}", 1)
    await _redis.blpop([f"go:{gate}"], timeout=contract.GATE_SECONDS)
    return await _added(request, "milk", 1)


async def refuse(_: Request, error: Exception) -> Response:
    """Answer with a problem document."""
    assert isinstance(error, Refused)
    return JSONResponse(error.problem, error.status)


async def _added(request: Request, sku: str, qty: int) -> Response:
    lines = await _lines(request)
    cart.add(lines, sku, qty)
    request.session["cart"] = lines
    return JSONResponse(cart.shown(lines))


async def _lines(request: Request) -> dict[str, int]:
    await load_session(request)
    lines: dict[str, int] = request.session.get("cart", {})
    return lines


async def _body(request: Request) -> dict[str, Any]:
    return cart.parsed(request.headers.get("content-type", ""), await request.body())


app = Starlette(
    routes=[
        Route("/api/cart", show, methods=["GET"]),
        Route("/api/cart/items", add, methods=["POST"]),
        Route("/api/login", login, methods=["POST"]),
        Route("/api/logout", logout, methods=["POST"]),
        Route("/api/session", whose, methods=["GET"]),
        Route("/late/{gate}", late, methods=["POST"]),
    ],
    middleware=[
        Middleware(
            SessionMiddleware,
            store=RedisStore(connection=_redis),
            lifetime=cart.LIFETIME,
            rolling=True,  # as the others here: a session lives as long as it is used
            cookie_https_only=False,
        )
    ],
    exception_handlers={Refused: refuse},
)
