"""Django with its sessions in Redis or in a database: settings, views and routes in one module.

`loadtest.frameworks.apps.django_cart:application`, with the store's URL in REDIS_URL. Cache and
session middleware are as in
https://docs.djangoproject.com/en/5.2/topics/http/sessions/#using-cached-sessions. If SESSIONS_URL
is of SQLite, the sessions are in that database, as `startproject` has it. The middleware of
`startproject` that serves forms and pages is left out.
"""

import os
import uuid
from functools import cache
from typing import Any

import redis
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_POST

from loadtest.frameworks import contract
from loadtest.frameworks.apps import cart, one_at_a_time
from loadtest.frameworks.apps.cart import Refused

_DATABASE = os.environ["SESSIONS_URL"].partition("sqlite:///")[2]
_IN_DATABASE: dict[str, Any] = {
    "SESSION_ENGINE": "django.contrib.sessions.backends.db",
    "INSTALLED_APPS": ["django.contrib.sessions"],
    "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": _DATABASE}},
}

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
    SESSION_COOKIE_AGE=cart.LIFETIME,
    **_IN_DATABASE if _DATABASE else {"SESSION_ENGINE": "django.contrib.sessions.backends.cache"},
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
    _gates().sadd(f"sessions of {user}", request.session.session_key)
    return JsonResponse({"user": user})


def logout(request: HttpRequest) -> HttpResponse:
    """End the session, as django.contrib.auth.logout does."""
    request.session.flush()
    return HttpResponse(status=204)


def revoke(request: HttpRequest) -> HttpResponse:
    """End all sessions of a user."""
    for key in _gates().smembers(f"sessions of {_body(request)['username']}"):
        request.session.delete(key.decode())
    return HttpResponse(status=204)


def start(request: HttpRequest) -> HttpResponse:
    """Begin a login at a provider."""
    request.session["oauth_state"] = state = uuid.uuid4().hex
    return JsonResponse({"state": state})


def callback(request: HttpRequest) -> HttpResponse:
    """End a login at a provider."""
    if request.session.pop("oauth_state", None) != request.GET["state"]:
        return JsonResponse(cart.other_state().problem, status=400)
    return JsonResponse({})


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
def _gates() -> Any:
    return redis.Redis.from_url(os.environ["REDIS_URL"])


urlpatterns = [
    path("api/cart", require_GET(show)),
    path("api/cart/items", require_POST(add)),
    path("api/login", login),
    path("api/logout", logout),
    path("api/session", whose),
    path("api/revoke", revoke),
    path("oauth/start", start),
    path("oauth/callback", callback),
    path("late/<str:gate>", late),
]

application = get_wsgi_application()
if _DATABASE:
    with one_at_a_time(_DATABASE):
        call_command("migrate", verbosity=0)
