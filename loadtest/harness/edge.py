"""What nginx does for a replica, between the load generator and a replica that is asked directly.

It also asks the whole stack, by one of its host names, at whatever address nginx listens. It
changes cookies that are only for TLS or for that host, so that the load generator keeps them.
"""

import re
import socket
import ssl
import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from io import BufferedIOBase
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Self
from urllib.parse import urlsplit

from loadtest.errors import LoadTestError

# Longer than a login on a busy machine, and shorter than the run waits for its first answer.
_TIMEOUT = 20.0


class Edge(ThreadingTCPServer):
    """A server on this machine that passes requests on, each by a new connection.

    Args:
        url: of the target: `unix:/path/to.sock`, `http://…` or `https://…`, whose certificate is
            not checked.
        host: the `Host` of all requests.
        headers: what nginx adds to requests besides `X-Request-ID`.
        prefix: a path below which clients ask, and which the target does not get.

    Raises:
        LoadTestError: the address cannot be used.
    """

    daemon_threads = True
    # The visitors begin all at once.
    request_queue_size = 256

    def __init__(
        self, url: str, host: str, headers: Mapping[str, str] | None = None, prefix: str = ""
    ) -> None:
        self.host, self.prefix = host, prefix
        self.added = {
            name.lower().encode(): text.encode() for name, text in (headers or {}).items()
        }
        self._socket = url.removeprefix("unix:") if url.startswith("unix:/") else ""
        try:
            parts = urlsplit(url)
            self._is_tls = parts.scheme == "https"
            self._address = (parts.hostname or "", parts.port or (443 if self._is_tls else 80))
        except ValueError:
            self._address = ("", 0)
        if not self._socket and (parts.scheme not in {"http", "https"} or not self._address[0]):
            raise LoadTestError(
                f"{url} is no address", "for example http://127.0.0.1:8080 or unix:/run/app-1.sock"
            )
        super().__init__(("127.0.0.1", 0), _Request)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def connect(self) -> socket.socket:
        """Return a connection to the target."""
        if self._socket:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(_TIMEOUT)
            connection.connect(self._socket)
            return connection
        connection = socket.create_connection(self._address, timeout=_TIMEOUT)
        if not self._is_tls:
            return connection
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(connection, server_hostname=self.host)


class _Request(StreamRequestHandler):
    """One request, after which the connection is closed, as by a sync worker."""

    server: Edge
    timeout = 60

    def handle(self) -> None:
        # At the end of a run, visitors leave without their answer.
        with suppress(ConnectionError, TimeoutError):
            if head := _head(self.rfile):
                sent_id = uuid.uuid4().hex.encode()
                request = self._request(head, sent_id)
                self.wfile.write(self._answered(request, sent_id))

    def _answered(self, request: bytes, sent_id: bytes) -> bytes:
        try:
            with self.server.connect() as connection, connection.makefile("rb") as answer:
                connection.sendall(request)
                if lines := _head(answer):
                    return self._answer(lines, sent_id) + answer.read()
            raise ConnectionResetError("the connection ended without an answer")
        except OSError as error:
            body = f"no answer: {error}".encode()
            late = isinstance(error, TimeoutError)
            status = b"504 Gateway Timeout" if late else b"502 Bad Gateway"
            length = b"Content-Length: " + str(len(body)).encode()
            return self._answer([b"HTTP/1.1 " + status, length], sent_id) + body

    def _request(self, head: list[bytes], sent_id: bytes) -> bytes:
        server = self.server
        method, path, version = head[0].split(b" ", 2)
        prefix = server.prefix.encode()
        line = b" ".join((method, path.removeprefix(prefix) or b"/", version))
        added = {
            b"host": server.host.encode(),
            b"connection": b"close",
            b"x-request-id": sent_id,
            **server.added,
        }
        kept = [each for each in head[1:] if each.partition(b":")[0].lower() not in added]
        length = next(
            (int(each[15:]) for each in kept if each[:15].lower() == b"content-length:"), 0
        )
        lines = [line, *kept, *(name + b": " + text for name, text in added.items())]
        return b"\r\n".join([*lines, b"", self.rfile.read(length)])

    def _answer(self, head: list[bytes], sent_id: bytes) -> bytes:
        own = rb"https?://" + re.escape(self.server.host.encode()) + rb"(?=/)"
        lines = [head[0], b"Connection: close"]
        for line in head[1:]:
            name, _, text = line.partition(b":")
            match name.lower():
                case b"connection" | b"keep-alive":
                    continue
                case b"set-cookie":
                    text = re.sub(rb"(?i);\s*(secure|domain=[^;]*)(?=;|$)", b"", text)
                case b"location":
                    text = re.sub(rb"^\s*" + own, b" ", text)
            lines.append(name + b":" + text)
        if not any(line.lower().startswith(b"x-request-id:") for line in lines):
            lines.append(b"X-Request-ID: " + sent_id)
        return b"\r\n".join([*lines, b"", b""])


def _head(file: BufferedIOBase) -> list[bytes]:
    """Return the lines of a head; none if the connection ended before its end."""
    lines: list[bytes] = []
    for line in iter(file.readline, b""):
        if not (text := line.rstrip(b"\r\n")):
            return lines
        lines.append(text)
    return []
