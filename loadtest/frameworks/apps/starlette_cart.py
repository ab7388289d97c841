"""Starlette with starsessions in Redis, and with its own session, which is in the cookie.

`loadtest.frameworks.apps.starlette_cart:app` and `:cookie_app`, with the store's URL in REDIS_URL.
"""

import os
import uuid
from typing import Any

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware as CookieMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starsessions import SessionMiddleware, load_session, regenerate_session_id
from starsessions.stores.redis import RedisStore

from loadtest.frameworks import contract
from loadtest.frameworks.apps import cart
from loadtest.frameworks.apps.cart import Refused

_redis: Any = Redis.from_url(os.environ["REDIS_URL"])
_store = RedisStore(connection=_redis)


async def show(request: Request) -> Response:
    """Show the cart."""
    return JSONResponse(cart.shown(await _lines(request)))


async def add(request: Request) -> Response:
    """Add to a line."""
    return await _added(request, *cart.wanted(await _body(request)))


async def login(request: Request) -> Response:
    """Log a user in, under a new id."""
    user = str((await _body(request))["username"])
    await _load(request)
    request.session["user"] = user
    if _is_on_server(request):
        await _redis.sadd(f"sessions of {user}", regenerate_session_id(request))
    return JSONResponse({"user": user})


async def logout(request: Request) -> Response:
    """End the session."""
    await _load(request)
    request.session.clear()
    return Response(status_code=204)


async def revoke(request: Request) -> Response:
    """End all sessions of a user."""
    user = str((await _body(request))["username"])
    if not _is_on_server(request):
        raise cart.nothing_to_end(user)
    for identifier in await _redis.smembers(f"sessions of {user}"):
        await _store.remove(identifier.decode())
    return Response(status_code=204)


async def start(request: Request) -> Response:
    """Begin a login at a provider."""
    await _load(request)
    request.session["oauth_state"] = state = uuid.uuid4().hex
    return JSONResponse({"state": state})


async def callback(request: Request) -> Response:
    """End a login at a provider."""
    await _load(request)
    if request.session.pop("oauth_state", None) != request.query_params["state"]:
        raise cart.other_state()
    return JSONResponse({})


async def whose(request: Request) -> Response:
    """Return who is logged in."""
    await _load(request)
    return JSONResponse({"user": request.session.get("user")})


async def late(request: Request) -> Response:
    """Add to the cart once the session was read and the driver has opened the gate."""
    gate = request.path_params["gate"]
    await _load(request)
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
    await _load(request)
    lines: dict[str, int] = request.session.get("cart", {})
    return lines


async def _load(request: Request) -> None:
    if _is_on_server(request):
        await load_session(request)


def _is_on_server(request: Request) -> bool:
    return "session_handler" in request.scope


async def _body(request: Request) -> dict[str, Any]:
    return cart.parsed(request.headers.get("content-type", ""), await request.body())


def _application(sessions: Middleware) -> Starlette:
    return Starlette(
        routes=[
            Route("/api/cart", show, methods=["GET"]),
            Route("/api/cart/items", add, methods=["POST"]),
            Route("/api/login", login, methods=["POST"]),
            Route("/api/logout", logout, methods=["POST"]),
            Route("/api/session", whose, methods=["GET"]),
            Route("/api/revoke", revoke, methods=["POST"]),
            Route("/oauth/start", start, methods=["GET"]),
            Route("/oauth/callback", callback, methods=["GET"]),
            Route("/late/{gate}", late, methods=["POST"]),
        ],
        middleware=[sessions],
        exception_handlers={Refused: refuse},
    )


app = _application(
    Middleware(
        SessionMiddleware,
        store=_store,
        lifetime=cart.LIFETIME,
        rolling=True,  # as the others here: a session lives as long as it is used
        cookie_https_only=False,
    )
)
cookie_app = _application(
    Middleware(CookieMiddleware, secret_key=cart.SECRET, max_age=cart.LIFETIME)
)
