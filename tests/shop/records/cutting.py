"""A relay that takes a call to the server and loses the answer on its way back."""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Self


class Cutting:
    """Relays to a server's unix socket, one exchange after the other.

    Args:
        target: the socket.
        cuts: how many answers are lost, each with its connection.
    """

    def __init__(self, target: Path, cuts: int) -> None:
        self._target = target
        self._cuts = cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, socket.socket(socket.AF_UNIX) as server:
                    server.connect(str(self._target))
                    self._relay(client, server)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        while call := client.recv(65_536):
            server.sendall(call)
            answer = server.recv(65_536)
            if self._cuts:
                self._cuts -= 1
                return
            client.sendall(answer)
