"""Servers that misbehave, and a relay that meddles between a client and a real server."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from unsticky.stores.replies import UNFINISHED, PlainReader

Answer = Callable[[int, list[bytes]], bytes | None]
"""What a server answers to a command; the number counts its connections, from 0. None: PING with a
text is answered with this text, all else with +OK."""

Meddle = Callable[[bytes], Sequence[bytes | float]]
"""What becomes of a piece that the server sent: pieces, and pauses in seconds between them."""


class StrangeServer:
    """A server on a port of 127.0.0.1 that answers as a test wants.

    Attributes:
        asked: the names of all commands, in order.
        connections: how many there were so far.
        hang_up: closes a connection after an answer.
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
        """What the store's URL is."""
        return f"redis://127.0.0.1:{self.port}"

    def close(self) -> None:
        """End it, and all connections."""
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
        target: where new connections lead; old ones stay where they are.
        meddle: what becomes of what the server sends.
        delay: for how long each piece is held back, in both directions (seconds).
        losses: how many of the next answers get lost, each with its connection.
        lost: how many got lost.
        connections: how many there were so far.
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
        """What the store's URL is."""
        return f"redis://127.0.0.1:{self.port}"

    def go_silent(self) -> None:
        """Pass nothing any more on the connections that there are, and do not close them."""
        self._silent.update(self._clients)

    def say(self, data: bytes) -> None:
        """Say something unasked on all connections."""
        for client in self._clients:
            client.sendall(data)

    def close(self) -> None:
        """End all."""
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
                if client not in self._silent:
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


@contextlib.contextmanager
def strange(answer: Answer, *, hang_up: bool = False) -> Iterator[StrangeServer]:
    """Run a `StrangeServer`."""
    server = StrangeServer(answer, hang_up=hang_up)
    try:
        yield server
    finally:
        server.close()


def bulk(text: bytes) -> bytes:
    """Return a reply that is a text."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


def _usual(command: list[bytes]) -> bytes:
    return bulk(command[1]) if command[0] == b"PING" and len(command) > 1 else b"+OK\r\n"
