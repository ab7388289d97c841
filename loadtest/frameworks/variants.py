"""A peer again, with other workers, another Python or a store of its own."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from loadtest.frameworks import servers
from loadtest.frameworks.peers import PEERS, Peer
from loadtest.frameworks.servers import Running


@dataclass(frozen=True, eq=False, kw_only=True)
class Variant(Peer):
    """A Flask peer in another setting.

    Attributes:
        python: the interpreter of an environment that has what the application needs.
        parser: Gunicorn's setting http_parser; "" for its default.
        server_at: its store, or a relay in front of it; None for that of the benchmark.
        number: of its database there.
    """

    python: str = sys.executable
    parser: str = ""
    server_at: Running | None = None
    number: int = 0

    def store_of(self, store: Running) -> Running:
        """See `Peer.store_of`."""
        return self.server_at or store

    def database(self, store: Running) -> str:
        """See `Peer.database`."""
        return self.store_of(store).database(self.number)

    @contextmanager
    def serve(self, processes: int, store: Running, folder: Path, **_: Any) -> Iterator[Running]:
        """See `Peer.serve`; only a Flask application over Redis can run so."""
        path = folder / f"{self.name}.sock"
        environment = {
            **self._environment(path, "flask_cart"),
            "REDIS_URL": self.database(store),
            "SESSIONS_URL": self.database(store),
        }
        if self.parser:
            environment["GUNICORN_CMD_ARGS"] = f"--http-parser {self.parser}"
        server = servers.gunicorn(path, environment, self.worker_class, processes, self.python)
        with server as running:
            yield running


def of(peer: Peer, name: str, **settings: Any) -> Variant:
    """Return a variant of a peer; the settings are attributes of `Variant` and `Peer`."""
    same = {each.name: getattr(peer, each.name) for each in fields(peer)}
    return Variant(**{**same, "number": PEERS.index(peer), "name": name, **settings})
