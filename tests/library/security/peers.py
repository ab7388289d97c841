"""Peers that are no store, though something listens there."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

Talk = Callable[[socket.socket, int], None]
"""What a peer does with a connection; the number counts the connections, from 0."""


@contextlib.contextmanager
def talking(talk: Talk) -> Iterator[int]:
    """Serve `talk` on a port of 127.0.0.1, one thread for each connection; yield the port."""
    opened: list[socket.socket] = []

    def serve(connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError):
            talk(connection, number)

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                opened.append(connection)
                threading.Thread(
                    target=serve, args=(connection, len(opened) - 1), daemon=True
                ).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    for connection in opened:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def answering(reply: bytes) -> Talk:
    """Return what answers everything that is said with the same bytes."""

    def talk(connection: socket.socket, _: int) -> None:
        while connection.recv(65536):
            connection.sendall(reply)

    return talk


def dripping(pause: float) -> Talk:
    """Return what answers with a long list, each of its 30 elements after `pause` seconds."""

    def talk(connection: socket.socket, number: int) -> None:
        del number
        connection.recv(65536)
        connection.sendall(b"*30\r\n")
        for _ in range(30):
            time.sleep(pause)  # what it is for
            connection.sendall(b":1\r\n")

    return talk


def breaking_then(reply: bytes) -> Talk:
    """Return what hears the first call out and hangs up, and answers the next with `reply`."""

    def talk(connection: socket.socket, number: int) -> None:
        while connection.recv(65536) and number > 0:
            connection.sendall(reply)

    return talk
