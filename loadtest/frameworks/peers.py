"""Who is compared, and how each is started: as its own documentation says for production."""

import importlib.util
import secrets
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import servers
from bench.servers import Running, Workers

from peers import node
from peers.apps import cart

Start = Callable[[str, int, str, Path], AbstractContextManager[Running]]
"""Starts a peer: its name, number of processes, the store's URL, a folder for its socket."""


@dataclass(frozen=True)
class Peer:
    """One application.

    Attributes:
        name: for files and command lines.
        title: what the table calls it.
        start: see `Start`.
        settings: what was set.
        source: on whose advice.
        modules: Python modules without which it is left out.
        packages: whose versions are recorded.
        keys: pattern of the store's keys that hold its sessions; empty if the store holds none.
    """

    name: str
    title: str
    start: Start
    settings: str
    source: str
    modules: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    keys: str = ""

    def lacks(self) -> str | None:
        """Return why it cannot take part here, or None."""
        if self.start is _express:
            return node.lacks()
        for module in self.modules:
            if importlib.util.find_spec(module) is None:
                return f"the Python module {module} is not installed; `make bench` installs it"
        return None


def _gunicorn(app: str, worker_class: str = "sync") -> Start:
    """Return how a WSGI application is started."""

    def start(name: str, processes: int, url: str, folder: Path) -> AbstractContextManager[Running]:
        environment = {
            "APP": app,
            "REDIS_URL": url,
            # What the shop wants, too.
            "SECRET_KEY": secrets.token_hex(32),
            "SERVED_BY": "1",
            "SHOP_DEMO": "1",
        }
        return servers.gunicorn(name, environment, Workers(worker_class, processes), folder)

    return start


def _flask(kind: str, worker_class: str = "sync") -> Start:
    return _gunicorn(f"peers.apps.flask_cart:create_app({kind!r})", worker_class)


def _starlette(
    name: str, processes: int, url: str, folder: Path
) -> AbstractContextManager[Running]:
    path = folder / f"{name}.sock"
    command = [
        sys.executable, "-m", "uvicorn", "peers.apps.starlette_cart:app", "--uds", str(path),
        "--workers", str(processes), "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip
    # nginx keeps idle connections for 60 s: the server must be the one that waits longer.
    command += ["--timeout-keep-alive", "75"]
    return servers.listening(command, path, processes, {"REDIS_URL": url}, keepalive=True)


def _express(name: str, processes: int, url: str, folder: Path) -> AbstractContextManager[Running]:
    path = folder / f"{name}.sock"
    environment = {
        "NODE_ENV": "production",
        "REDIS_URL": url,
        "BIND": str(path),
        "WORKERS": str(processes),
        "SECRET": cart.SECRET,
        "LIFETIME": str(cart.LIFETIME),
        "CATALOG": str(Path(__file__).with_name("catalog.json")),
    }
    command = ["node", str(node.installed() / "app.js")]
    return servers.listening(command, path, processes, environment, keepalive=True)


PEERS: Final = (
    Peer(
        "unsticky",
        "Unsticky",
        _flask("unsticky"),
        packages=("flask", "gunicorn", "redis"),
        keys="unsticky:*:s:*",
        settings="this project's own Gunicorn configuration, sync workers; the cart is a "
        "`session.map`",
        source="docs/guide.md, app/gunicorn.conf.py",
    ),
    Peer(
        "unsticky-gevent",
        "Unsticky, gevent",
        _flask("unsticky", "gevent"),
        modules=("gevent",),
        packages=("gevent",),
        keys="unsticky:*:s:*",
        settings="the same with gevent workers, to which nginx keeps its connections",
        source="docs/guide.md, app/gunicorn.conf.py",
    ),
    Peer(
        "shop",
        "the whole shop",
        _gunicorn("peers.apps.shop_cart:create_app()"),
        keys="unsticky:*:s:*",
        settings="this project's demo over Unsticky, as `make up` runs it: what an application "
        "adds",
        source=".env.example, app/gunicorn.conf.py",
    ),
    Peer(
        "flask-session",
        "Flask-Session",
        _flask("flask-session"),
        modules=("flask_session",),
        packages=("flask-session", "msgspec"),
        keys="session:*",
        settings="`SESSION_TYPE=redis` with a ready client, msgpack (its default); the same "
        "Gunicorn, sync workers; the id is regenerated at login",
        source="https://flask-session.readthedocs.io/en/latest/config.html",
    ),
    Peer(
        "flask-cookie",
        "Flask's cookie",
        _flask("flask-cookie"),
        packages=("itsdangerous",),
        settings="nothing but a secret key: the whole session stands, signed, in the browser's "
        "cookie; the same Gunicorn, sync workers",
        source="https://flask.palletsprojects.com/en/stable/quickstart/#sessions",
    ),
    Peer(
        "django",
        "Django",
        _gunicorn("peers.apps.django_cart:application"),
        modules=("django",),
        packages=("django",),
        keys="*sessions.cache*",
        settings="cached sessions over Django's own Redis cache, `DEBUG=False`; the same Gunicorn, "
        "sync workers; no middleware but security, sessions and common",
        source="https://docs.djangoproject.com/en/5.2/topics/http/sessions/#using-cached-sessions",
    ),
    Peer(
        "starlette",
        "Starlette, starsessions",
        _starlette,
        modules=("starlette", "starsessions", "uvicorn"),
        packages=("starlette", "starsessions", "uvicorn", "uvloop", "httptools"),
        keys="starsessions.*",
        settings="`RedisStore` with a ready asyncio client, rolling lifetime; `uvicorn[standard]` "
        "with its own worker processes on a unix socket",
        source="https://www.uvicorn.org/deployment/ and "
        "https://github.com/alex-oleshkevich/starsessions",
    ),
    Peer(
        "express",
        "Express, connect-redis",
        _express,
        keys="sess:*",
        settings="`resave: false`, `saveUninitialized: false`, `NODE_ENV=production`, in a "
        "cluster; the session is regenerated at login and destroyed at logout",
        source="https://expressjs.com/en/advanced/best-practice-performance.html and "
        "https://github.com/tj/connect-redis",
    ),
)


def store_url(store: Running, peer: Peer) -> str:
    """Return the URL of the database that is this peer's own."""
    return store.database(PEERS.index(peer))
