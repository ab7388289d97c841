"""The application factory: it puts the parts together to one WSGI application."""

from flask import Flask
from unsticky import Unsticky
from unsticky.stores import Wait
from werkzeug.middleware.proxy_fix import ProxyFix

from shop import logs, pages, status
from shop.context import REQUEST_ID, Shop
from shop.http import api, problems, security
from shop.settings import Settings
from shop.store import Store


def create_app(settings: Settings | None = None) -> Flask:
    """Return the shop.

    Args:
        settings: Read from the environment by default.

    Raises:
        SettingsError: The environment cannot configure the shop.
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
        UNSTICKY_STORE=settings.redis_url,
        UNSTICKY_WAIT=settings.wait,
        UNSTICKY_REQUEST_ID_HEADER=REQUEST_ID,
        UNSTICKY_CLEAR_SITE_DATA=True,
        # Werkzeug silently cuts a body of unknown length off here. One byte more than is allowed
        # lets `security.check_size` see that the body was too long.
        MAX_CONTENT_LENGTH=security.MOST_BODY_BYTES + 1,
        # Pages of two releases share the browser's cache while one is rolled out.
        SEND_FILE_MAX_AGE_DEFAULT=60,
    )
    # A path with a doubled slash is unknown: 404, not a redirect to another path.
    app.url_map.merge_slashes = False
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.before_request(lambda: security.check_host(settings))
    app.before_request(security.check_size)
    app.before_request(security.check_site)
    problems.install(app)
    sessions = Unsticky(app, on_error=problems.of_session)
    wait = Wait(*map(int, settings.wait.split())) if settings.wait else None
    shop = Shop(settings, sessions, Store(settings.redis_url, wait))
    app.extensions["shop"] = shop
    app.register_blueprint(api.routes)
    pages.install(app, shop)
    status.install(app, shop)

    hops = settings.proxy_hops
    proxied = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)
    app.wsgi_app = security.EveryAnswer(proxied, settings)  # type: ignore[method-assign]  # Flask's own way
    return app
