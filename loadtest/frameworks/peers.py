"""The peers: each is started as its own documentation says for production."""

import importlib.util
import secrets
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.frameworks import node, servers
from loadtest.frameworks.apps import cart
from loadtest.frameworks.servers import Running, Workers

_APPS = "loadtest.frameworks.apps"

Start = Callable[[str, int, str, Path], AbstractContextManager[Running]]
"""Starts a peer that is not served by Gunicorn: its name, number of processes, the store's URL, a
folder for its socket."""


@dataclass(frozen=True)
class Peer:
    """One application.

    Attributes:
        name: for files and command lines.
        title: its name in tables.
        kind: of Flask's session, if it is a Flask application.
        app: otherwise, the WSGI application in `apps`.
        start: see `Start`.
        worker_class: of Gunicorn.
        settings: what was set.
        source: where its documentation says so.
        modules: Python modules that it needs.
        packages: whose versions are recorded.
        keys: pattern of the store's keys that hold its sessions; empty if the store holds none.
        is_compared: whether it takes part in the comparison unless it is named.
    """

    name: str
    title: str
    settings: str
    source: str
    kind: str = ""
    app: str = ""
    start: Start | None = None
    worker_class: str = "sync"
    modules: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    keys: str = ""
    is_compared: bool = True

    def lacks(self) -> str | None:
        """Return why it cannot run here, or None."""
        if self.start is _express:
            return node.lacks()
        for module in self.modules:
            if importlib.util.find_spec(module) is None:
                return f"the Python module {module} is not installed; `make bench` installs it"
        return None

    def database(self, store: Running) -> str:
        """Return the URL of this peer's own database."""
        return store.database(PEERS.index(self))

    def serve(
        self,
        processes: int,
        store: Running,
        folder: Path,
        *,
        worker_class: str = "",
        module: str = "flask_cart",
        name: str = "",
    ) -> AbstractContextManager[Running]:
        """Start it.

        Args:
            processes: of workers.
            store: where its database is.
            folder: for its socket.
            worker_class: of Gunicorn, in place of its own.
            module: of `apps`, for a Flask application.
            name: of its socket, in place of its own.
        """
        url, name = self.database(store), name or self.name
        if self.start is not None:
            return self.start(name, processes, url, folder)
        environment = {
            "APP": f"{_APPS}.{self.app or f'{module}:create_app({self.kind!r})'}",
            "REDIS_URL": url,
            # For the shop.
            "SECRET_KEY": secrets.token_hex(32),
            "SERVED_BY": "1",
            "SHOP_DEMO": "1",
        }
        workers = Workers(worker_class or self.worker_class, processes)
        return servers.gunicorn(name, environment, workers, folder)


def named(names: list[str]) -> list["Peer"]:
    """Return the peers of these names, in the order of `PEERS`."""
    return [peer for peer in PEERS if peer.name in names]


def _starlette(
    name: str, processes: int, url: str, folder: Path
) -> AbstractContextManager[Running]:
    path = folder / f"{name}.sock"
    command = [
        sys.executable, "-m", "uvicorn", f"{_APPS}.starlette_cart:app", "--uds", str(path),
        "--workers", str(processes), "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip
    # nginx keeps idle connections for 60 s: the server must keep them longer.
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
        kind="unsticky",
        packages=("flask", "gunicorn", "redis"),
        keys="unsticky:*:s:*",
        settings="this project's own Gunicorn configuration, sync workers; the cart is a "
        "`session.map`",
        source="docs/guide.md, app/gunicorn.conf.py",
    ),
    Peer(
        "unsticky-gevent",
        "Unsticky, gevent",
        kind="unsticky",
        worker_class="gevent",
        modules=("gevent",),
        packages=("gevent",),
        keys="unsticky:*:s:*",
        settings="the same with gevent workers, to which nginx keeps connections open",
        source="docs/guide.md, app/gunicorn.conf.py",
    ),
    Peer(
        "shop",
        "the whole shop",
        app="shop_cart:create_app()",
        keys="unsticky:*:s:*",
        settings="this project's demo over Unsticky, as `make up` runs it: the cost of a whole "
        "application",
        source=".env.example, app/gunicorn.conf.py",
    ),
    Peer(
        "flask-session",
        "Flask-Session",
        kind="flask-session",
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
        kind="flask-cookie",
        packages=("itsdangerous",),
        settings="nothing but a secret key: the browser's cookie holds the whole session, signed; "
        "the same Gunicorn, sync workers",
        source="https://flask.palletsprojects.com/en/stable/quickstart/#sessions",
    ),
    Peer(
        "django",
        "Django",
        app="django_cart:application",
        modules=("django",),
        packages=("django",),
        keys="*sessions.cache*",
        settings="cached sessions over Django's own Redis cache, `DEBUG=False`; the same Gunicorn, "
        "sync workers; only the middleware for security, sessions and common",
        source="https://docs.djangoproject.com/en/5.2/topics/http/sessions/#using-cached-sessions",
    ),
    Peer(
        "starlette",
        "Starlette, starsessions",
        start=_starlette,
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
        start=_express,
        keys="sess:*",
        settings="`resave: false`, `saveUninitialized: false`, `NODE_ENV=production`, in a "
        "cluster; the session is regenerated at login and destroyed at logout",
        source="https://expressjs.com/en/advanced/best-practice-performance.html and "
        "https://github.com/tj/connect-redis",
    ),
    Peer(
        "unsticky-plain",
        "Unsticky, plain keys",
        kind="unsticky-plain",
        keys="unsticky:*:s:*",
        settings="this library under the code of a plain Flask application: the cart is a dict",
        source="docs/guide.md",
        is_compared=False,
    ),
    Peer(
        "blob",
        "a blob",
        kind="blob",
        keys="blob:*",
        settings="one GETEX for each request and one SET for each change, without any guarantee",
        source="loadtest/frameworks/apps/blob.py",
        is_compared=False,
    ),
    Peer(
        "none",
        "no session",
        kind="none",
        settings="the same views with a constant cart: the floor of every comparison",
        source="loadtest/frameworks/apps/flask_cart.py",
        is_compared=False,
    ),
)
