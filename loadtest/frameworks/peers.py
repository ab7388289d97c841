"""The peers of `peers.toml`: each is started as its own documentation says for production."""

import importlib.util
import secrets
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.frameworks import mongodb, node, servers
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
        app: otherwise, the application in `apps`.
        server: gunicorn, uvicorn or node.
        worker_class: of Gunicorn.
        place: of its sessions: redis, mongodb, sqlite, files or memory.
        has_one_process: whether there is one process, however many are asked for.
        reference: the peer that its ratios refer to.
        settings: what was set.
        source: where its documentation says so.
        why: how its anomalies come about.
        modules: Python modules that it needs.
        packages: whose versions are recorded.
        keys: pattern of the store's keys that hold its sessions; empty if the store holds none.
        has_metrics: whether METRICS is on.
        tables: what it takes part in unless peers are named: peers, stores, anomalies.
    """

    name: str
    title: str
    settings: str
    source: str
    why: str = ""
    kind: str = ""
    app: str = ""
    server: str = "gunicorn"
    worker_class: str = "sync"
    place: str = "redis"
    has_one_process: bool = False
    reference: str = "unsticky"
    modules: Sequence[str] = ()
    packages: Sequence[str] = ()
    keys: str = ""
    has_metrics: bool = False
    tables: Sequence[str] = ("peers",)

    def lacks(self) -> str | None:
        """Return why it cannot run here, or None."""
        if self.server == "node":
            return node.lacks()
        for module in self.modules:
            if importlib.util.find_spec(module) is None:
                return f"the Python module {module} is not installed; `make bench` installs it"
        return mongodb.lacks() if self.place == "mongodb" else None

    def processes(self, wanted: int) -> int:
        """Return how many worker processes it has if so many are wanted."""
        return 1 if self.has_one_process else wanted

    def store_of(self, store: Running) -> Running:
        """Return where its sessions are, if they are in a store: in that of the benchmark."""
        return store

    def database(self, store: Running) -> str:
        """Return the URL of this peer's own database in the store of the benchmark."""
        return store.database(PEERS.index(self))

    @contextmanager
    def serve(
        self,
        processes: int,
        store: Running,
        folder: Path,
        *,
        worker_class: str = "",
        module: str = "flask_cart",
        name: str = "",
        lifetime: int = cart.LIFETIME,
    ) -> Iterator[Running]:
        """Run so many worker processes of it, over its database in the store or its own place.

        The folder is for its socket, which has the name of the peer unless one is given, and for
        its sessions if they are in files. `module` of `apps` is for a Flask application. The
        lifetime is that of an unused session, in seconds.
        """
        path = folder / f"{name or self.name}.sock"
        with self._sessions(store, folder) as sessions:
            environment = {
                "REDIS_URL": self.database(store),
                "SESSIONS_URL": sessions,
                "LIFETIME": str(lifetime),
            }
            if self.server == "uvicorn":
                server = _uvicorn(self.app, path, processes, environment)
            elif self.server == "node":
                server = _node(path, processes, environment)
            else:
                server = servers.gunicorn(
                    path,
                    environment | self._environment(path, module),
                    worker_class or self.worker_class,
                    self.processes(processes),
                )
            with server as running:
                yield running

    @contextmanager
    def _sessions(self, store: Running, folder: Path) -> Iterator[str]:
        """Yield the URL of the place of its sessions, which is empty."""
        match self.place:
            case "mongodb":
                with mongodb.database(f"{folder.name}-{self.name}") as url:
                    yield url
            case "memory":
                yield "memory://"
            case "sqlite":
                yield f"sqlite:///{folder / self.name}.db"
            case "files":
                yield f"file://{folder / self.name}.sessions"
            case _:
                yield self.database(store)

    def _environment(self, path: Path, module: str) -> dict[str, str]:
        return {
            "APP": f"{_APPS}.{self.app or f'{module}:create_app({self.kind!r})'}",
            # For the shop.
            "SECRET_KEY": secrets.token_hex(32),
            "SERVED_BY": "1",
            "SHOP_DEMO": "1",
            "METRICS": f"unix:{path}.metrics" if self.has_metrics else "0",
        }


def named(names: list[str]) -> list["Peer"]:
    """Return the peers of these names, in the order of `PEERS`."""
    return [peer for peer in PEERS if peer.name in names]


def _uvicorn(
    app: str, path: Path, processes: int, environment: dict[str, str]
) -> AbstractContextManager[Running]:
    command = [
        sys.executable, "-m", "uvicorn", f"{_APPS}.{app}", "--uds", str(path),
        "--workers", str(processes), "--no-access-log", "--log-level", "warning",
    ]  # fmt: skip
    # nginx keeps idle connections for 60 s: the server must keep them longer.
    command += ["--timeout-keep-alive", "75"]
    return servers.listening(command, path, processes, environment, keepalive=True)


def _node(
    path: Path, processes: int, environment: dict[str, str]
) -> AbstractContextManager[Running]:
    environment = environment | {
        "NODE_ENV": "production",
        "BIND": str(path),
        "WORKERS": str(processes),
        "SECRET": cart.SECRET,
        "CATALOG": str(Path(__file__).with_name("catalog.json")),
    }
    command = ["node", str(node.installed() / "app.js")]
    return servers.listening(command, path, processes, environment, keepalive=True)


def _loaded() -> tuple[Peer, ...]:
    tables = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return tuple(Peer(name=name, **table) for name, table in tables.items())


PEERS: Final = _loaded()
