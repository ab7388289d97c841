"""Django with its cached sessions in Redis: settings, views and routes in one module.

`loadtest.frameworks.apps.django_cart:application`, with the store's URL in REDIS_URL. Cache and
session middleware are as in
https://docs.djangoproject.com/en/5.2/topics/http/sessions/#using-cached-sessions. The middleware of
`startproject` that serves forms and pages is left out.
"""

import os
from functools import cache
from typing import Any

import redis
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from loadtest.frameworks import contract
from loadtest.frameworks.apps import cart
from loadtest.frameworks.apps.cart import Refused

settings.configure(
    DEBUG=False,
    SECRET_KEY=cart.SECRET,
    ALLOWED_HOSTS=["localhost"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    APPEND_SLASH=False,
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": os.environ["REDIS_URL"],
        }
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    SESSION_COOKIE_AGE=cart.LIFETIME,
)


def show(request: HttpRequest) -> HttpResponse:
    """Show the cart."""
    return JsonResponse(cart.shown(_lines(request)))


def add(request: HttpRequest) -> HttpResponse:
    """Add to a line; answer with a problem document if that is refused."""
    try:
        return _added(request, *cart.wanted(_body(request)))
    except Refused as error:
        return JsonResponse(error.problem, status=error.status)


def login(request: HttpRequest) -> HttpResponse:
    """Log a user in, under a new key, as django.contrib.auth.login does."""
    user = str(_body(request)["username"])
    request.session.cycle_key()
    request.session["user"] = user
    return JsonResponse({"user": user})


def logout(request: HttpRequest) -> HttpResponse:
    """End the session, as django.contrib.auth.logout does."""
    request.session.flush()
    return HttpResponse(status=204)


def whose(request: HttpRequest) -> HttpResponse:
    """Return who is logged in."""
    return JsonResponse({"user": request.session.get("user")})


def late(request: HttpRequest, gate: str) -> HttpResponse:
    """Add to the cart once the session was read and the driver has opened the gate."""
    _lines(request)
    _gates().rpush(f"held:{gate}", 1)
    _gates().blpop([f"go:{gate}"], timeout=contract.GATE_SECONDS)
    return _added(request, "milk", 1)


def _added(request: HttpRequest, sku: str, qty: int) -> HttpResponse:
    lines = _lines(request)
    cart.add(lines, sku, qty)
    request.session["cart"] = lines
    return JsonResponse(cart.shown(lines))


def _lines(request: HttpRequest) -> dict[str, int]:
    lines: dict[str, int] = request.session.get("cart", {})
    return lines


def _body(request: HttpRequest) -> dict[str, Any]:
    return cart.parsed(request.content_type or "", request.body)


@cache
def _gates() -> redis.Redis:
    return redis.Redis.from_url(os.environ["REDIS_URL"])


urlpatterns = [
    path("api/cart", require_GET(show)),
    path("api/cart/items", require_POST(add)),
    path("api/login", login),
    path("api/logout", logout),
    path("api/session", whose),
    path("late/<str:gate>", late),
]

application = get_wsgi_application()
