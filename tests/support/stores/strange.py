"""Servers that misbehave, and a relay that meddles between a client and a real server."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Self

from unsticky.stores.replies import UNFINISHED, PlainReader

Answer = Callable[[int, list[bytes]], bytes | None]
"""Returns the reply to a command on a connection, whose number counts from 0. None means the text
of a PING with a text, and +OK otherwise."""

Meddle = Callable[[bytes], Sequence[bytes | float]]
"""Changes data that the server sent: into pieces, with pauses in seconds between them."""


class StrangeServer:
    """A server on a port of 127.0.0.1 that replies as a test wants.

    Args:
        answer: returns its replies.
        hang_up: whether it closes each connection after a reply.

    Attributes:
        asked: the names of all commands, in order.
        connections: how many clients have connected.
    """

    def __init__(self, answer: Answer, *, hang_up: bool = False) -> None:
        self.asked: list[bytes] = []
        self.connections = 0
        self._answer = answer
        self._hang_up = hang_up
        self._listener = _Listener(self._serve)
        self.port = self._listener.port

    @property
    def url(self) -> str:
        """The store's URL."""
        return f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Leave it running until the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and close all connections."""
        self._listener.close()

    def _serve(self, stream: socket.socket) -> None:
        number = self.connections
        self.connections += 1
        reader = PlainReader()
        while data := stream.recv(65536):
            reader.feed(data)
            answers = b""
            while (command := reader.gets()) is not UNFINISHED:
                self.asked.append(command[0])
                answer = self._answer(number, command)
                if answer is None:
                    answer = _usual(command)
                answers += answer
            stream.sendall(answers)
            if self._hang_up and answers:
                return


class Relay:
    """Passes bytes between clients and a server.

    Args:
        target: the server's unix socket, or its port on 127.0.0.1.

    Attributes:
        target: the server of new connections; old ones keep theirs.
        meddle: changes what the server sends.
        delay: for how long each piece is held back, in both directions (seconds).
        losses: how many of the next answers get lost, each with its connection.
        lost: how many got lost.
        connections: how many clients have connected.
    """

    def __init__(self, target: str | int) -> None:
        self.target = target
        self.meddle: Meddle | None = None
        self.delay = 0.0
        self.losses = 0
        self.lost = 0
        self.connections = 0
        self._silent: set[socket.socket] = set()
        self._clients: list[socket.socket] = []
        self._closed = threading.Event()
        self._listener = _Listener(self._serve)
        self.port = self._listener.port

    @property
    def url(self) -> str:
        """The store's URL."""
        return f"redis://127.0.0.1:{self.port}"

    def go_silent(self) -> None:
        """Read and pass on nothing more on the present connections, but keep them open."""
        self._silent.update(self._clients)

    def say(self, data: bytes) -> None:
        """Send data to all clients that none of them asked for."""
        for client in self._clients:
            client.sendall(data)

    def close(self) -> None:
        """Close all connections."""
        self._closed.set()
        self._listener.close()

    def _serve(self, client: socket.socket) -> None:
        self.connections += 1
        self._clients.append(client)
        with _connected(self.target) as server:
            back = threading.Thread(target=self._pass_back, args=(server, client), daemon=True)
            back.start()
            while data := client.recv(65536):
                self._closed.wait(self.delay)
                if client in self._silent:
                    self._closed.wait()
                    break
                server.sendall(data)
            self._clients.remove(client)
            server.shutdown(socket.SHUT_RDWR)
            back.join()

    def _pass_back(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                self._closed.wait(self.delay)
                if self.losses:
                    self.losses, self.lost = self.losses - 1, self.lost + 1
                    break
                for piece in self.meddle(data) if self.meddle else (data,):
                    if isinstance(piece, float):
                        time.sleep(piece)  # what it is for
                    elif client not in self._silent:
                        client.sendall(piece)
            client.shutdown(socket.SHUT_RDWR)


def _connected(target: str | int) -> socket.socket:
    if isinstance(target, int):
        return socket.create_connection(("127.0.0.1", target))
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(target)
    return stream


class _Listener:
    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._streams: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        for stream in (self._listener, *self._streams):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self._listener.accept()
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._streams.append(stream)
                self._threads.append(
                    threading.Thread(target=self._run, args=(stream,), daemon=True)
                )
                self._threads[-1].start()

    def _run(self, stream: socket.socket) -> None:
        with stream, contextlib.suppress(OSError):
            self._serve(stream)


def bulk(text: bytes) -> bytes:
    """Return a text as a reply."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


def _usual(command: list[bytes]) -> bytes:
    return bulk(command[1]) if command[0] == b"PING" and len(command) > 1 else b"+OK\r\n"
