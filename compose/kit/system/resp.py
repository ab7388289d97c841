"""Ask a Redis server, a Valkey server or a Sentinel one question."""

import socket
from typing import Any, BinaryIO

from kit.errors import KitError

_SECONDS = 1.0


def ask(address: tuple[str, int], password: str, *words: str) -> Any:
    """Log in, send one command, and return its answer: a text, a number, a list of them, or None.

    Raises:
        OSError: the server does not answer.
        KitError: it refuses.
    """
    with socket.create_connection(address, _SECONDS) as connection:
        connection.sendall(_packed("AUTH", password) + _packed(*words))
        with connection.makefile("rb") as file:
            _answer(file)
            return _answer(file)


def _packed(*words: str) -> bytes:
    parts = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
    return f"*{len(words)}\r\n{parts}".encode()


def _answer(file: BinaryIO) -> Any:
    line = file.readline().decode().strip()
    if not line:
        raise ConnectionResetError("it closed the connection")
    kind, text = line[0], line[1:]
    if kind == "-":
        raise KitError(f"it refuses: {text}")
    if kind == "$":
        return file.read(int(text) + 2)[:-2].decode() if int(text) >= 0 else None
    if kind == "*":
        return [_answer(file) for _ in range(int(text))] if int(text) >= 0 else None
    return int(text) if kind == ":" else text
