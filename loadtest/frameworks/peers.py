"""The peers of `peers.toml`: each is started as its own documentation says for production."""

import importlib.util
import secrets
import sys
import tomllib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.frameworks import node, servers
from loadtest.frameworks.apps import cart
from loadtest.frameworks.servers import Running

_APPS = "loadtest.frameworks.apps"


# As keys of a dict, peers are compared by identity: there is one of each.
@dataclass(frozen=True, eq=False)
class Peer:
    """One application, as a table of `peers.toml` describes it.

    Attributes:
        name: for files and command lines.
        title: its name in tables.
        kind: of Flask's session, if it is a Flask application.
        app: otherwise, the WSGI application in `apps`.
        server: gunicorn, uvicorn or node.
        worker_class: of Gunicorn.
        settings: what was set.
        source: where its documentation says so.
        modules: Python modules that it needs.
        packages: whose versions are recorded.
        keys: pattern of the store's keys that hold its sessions; empty if the store holds none.
        has_metrics: whether METRICS is on.
        is_compared: whether it takes part in the comparison unless it is named.
    """

    name: str
    title: str
    settings: str
    source: str
    kind: str = ""
    app: str = ""
    server: str = "gunicorn"
    worker_class: str = "sync"
    modules: Sequence[str] = ()
    packages: Sequence[str] = ()
    keys: str = ""
    has_metrics: bool = False
    is_compared: bool = True

    def lacks(self) -> str | None:
        """Return why it cannot run here, or None."""
        if self.server == "node":
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
        """Start so many worker processes of it, over its database in the store.

        The folder is for its socket, which has the name of the peer unless one is given. `module`
        of `apps` is for a Flask application.
        """
        url, path = self.database(store), folder / f"{name or self.name}.sock"
        if self.server == "uvicorn":
            return _uvicorn(path, processes, url)
        if self.server == "node":
            return _node(path, processes, url)
        environment = {
            "APP": f"{_APPS}.{self.app or f'{module}:create_app({self.kind!r})'}",
            "REDIS_URL": url,
            # For the shop.
            "SECRET_KEY": secrets.token_hex(32),
            "SERVED_BY": "1",
            "SHOP_DEMO": "1",
            "METRICS": f"unix:{path}.metrics" if self.has_metrics else "0",
        }
        return servers.gunicorn(path, environment, worker_class or self.worker_class, processes)


def named(names: list[str]) -> list["Peer"]:
    """Return the peers of these names, in the order of `PEERS`."""
    return [peer for peer in PEERS if peer.name in names]


def _uvicorn(path: Path, processes: int, url: str) -> AbstractContextManager[Running]:
    command = [
        sys.executable, "-m", "uvicorn", f"{_APPS}.starlette_cart:app", "--uds", str(path),
        "--workers", str(processes), "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip
    # nginx keeps idle connections for 60 s: the server must keep them longer.
    command += ["--timeout-keep-alive", "75"]
    return servers.listening(command, path, processes, {"REDIS_URL": url}, keepalive=True)


def _node(path: Path, processes: int, url: str) -> AbstractContextManager[Running]:
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


def _loaded() -> tuple[Peer, ...]:
    tables = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return tuple(Peer(name=name, **table) for name, table in tables.items())


PEERS: Final = _loaded()
