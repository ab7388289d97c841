"""The application factory: where the parts become one WSGI application."""

from __future__ import annotations

from flask import Flask
from unsticky import Unsticky
from werkzeug.middleware.proxy_fix import ProxyFix

from shop import (
    account_api,
    admission,
    cart_api,
    catalog,
    checkout_api,
    health,
    logs,
    orders_api,
    pages,
    problems,
    request_id,
    session_api,
)
from shop.current import Shop
from shop.headers import EveryAnswer
from shop.records.records import Records
from shop.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Return the shop.

    Args:
        settings: What it needs to know; read from the environment by default.

    Raises:
        SettingsError: If the environment cannot configure it.
    """
    settings = settings or Settings.from_env()
    logs.configure(settings.replica)
    app = Flask("shop")
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SESSION_COOKIE_NAME="__Host-sid" if settings.secure_cookie else "sid",
        SESSION_COOKIE_SECURE=settings.secure_cookie,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        UNSTICKY_STORE=settings.redis_url or "memory://",
        UNSTICKY_REQUEST_ID_HEADER=request_id.HEADER,
        UNSTICKY_CLEAR_SITE_DATA=True,
        # Werkzeug cuts a body of unknown length off at this, without a word; one
        # byte more than is allowed, and admission sees that it was too long.
        MAX_CONTENT_LENGTH=admission.MOST_BODY_BYTES + 1,
        # Pages of two releases share the browser's cache while one is rolled out.
        SEND_FILE_MAX_AGE_DEFAULT=60,
    )
    # A path with a doubled slash is unknown: 404, not a redirect to another.
    app.url_map.merge_slashes = False
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.before_request(lambda: admission.check_host(settings))
    app.before_request(admission.check_size)
    app.before_request(admission.check_site)
    problems.install(app)
    sessions = Unsticky(app, on_error=problems.of_session)
    Shop(settings, sessions, Records.open(settings.redis_url)).attach(app)
    parts = (catalog, cart_api, checkout_api, orders_api, account_api, session_api, health)
    for part in parts:
        app.register_blueprint(part.routes)
    pages.install(app, sessions, settings)

    hops = settings.proxy_hops
    proxied = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)
    app.wsgi_app = EveryAnswer(proxied, settings)  # type: ignore[method-assign]  # Flask's own way
    return app
