"""The client of the benchmarks, with a server that refuses early."""

import socket
import threading
from pathlib import Path

from loadtest.frameworks.client import Answer, Browser


def test_an_answer_before_the_body_was_read_is_returned(folder: Path) -> None:
    """A server may refuse while the client still sends the body."""
    path = folder / "server.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 415 Refused\r\nContent-Length: 0\r\n\r\n")

        server = threading.Thread(target=refuse)
        server.start()
        # More than the socket takes, so that the server closes while the browser still sends.
        answer = Browser(path).send("POST", "/api/cart/items", bytes(10_000_000))
        server.join()
    assert answer == Answer(415, None)
