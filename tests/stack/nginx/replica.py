"""Replicas that a test scripts: real servers on unix sockets, as Gunicorn's are."""

import json
import socketserver
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

# More than nginx's buffers in memory and the kernel's together, less than nginx's file.
LARGE = 12 * 1024 * 1024
# More than that file, too.
HUGE = 32 * 1024 * 1024

_SIZES = {"/large": LARGE, "/huge": HUGE}


@dataclass(frozen=True)
class Seen:
    """A request as it reached a replica.

    Args:
        replica: which one.
        connection: equal for requests that came over one connection.
        headers: names are in lower case.
    """

    replica: str
    connection: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Script:
    """What the replicas do next, and what they saw. Shared by all of them.

    Args:
        deaths: so many of the next requests are read, and then the connection breaks.
        silent: while set, requests are read and not answered.
        handed_over: set when a whole large answer left a replica.
        begun: paths of requests whose header arrived, the body maybe not.
        seen: whole requests, in order.
    """

    deaths: int = 0
    silent: threading.Event = field(default_factory=threading.Event)
    resume: threading.Event = field(default_factory=threading.Event)
    handed_over: threading.Event = field(default_factory=threading.Event)
    begun: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, request: Seen) -> bool:
        """Record a request; true if the replica has to die over it."""
        with self.lock:
            self.seen.append(request)
            self.deaths -= 1
            return self.deaths >= 0

    def requests(self, path: str) -> list[Seen]:
        """Return what reached the replicas under a path, in order."""
        with self.lock:
            return [request for request in self.seen if request.path == path]

    def reset(self) -> None:
        """Forget everything, between two tests."""
        with self.lock:
            self.deaths = 0
            self.begun.clear()
            self.seen.clear()
        self.silent.clear()
        self.resume.clear()
        self.handed_over.clear()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Replica"

    def setup(self) -> None:
        """Name the connection."""
        super().setup()
        self.connection_id = uuid.uuid4().hex

    def _answer(self) -> None:
        self.server.script.begun.append(self.path)
        length = int(self.headers.get("Content-Length", 0))
        request = Seen(
            replica=self.server.name,
            connection=self.connection_id,
            method=self.command,
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
        )
        script = self.server.script
        if script.note(request):
            self.close_connection = True
            return
        if script.silent.is_set():
            script.resume.wait(10)
            self.close_connection = True
            return
        self._send(request)

    def _send(self, request: Seen) -> None:
        status, media_type = 200, "application/json"
        body = json.dumps({"replica": request.replica, "headers": request.headers}).encode()
        if request.path.startswith("/answer/"):
            status, media_type = int(request.path.rsplit("/", 1)[1]), "application/problem+json"
            body = b'{"title":"the application\'s own words"}'
        elif request.path in _SIZES:
            media_type, body = "application/octet-stream", bytes(_SIZES[request.path])
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Request-ID", request.headers.get("x-request-id", ""))
        self.end_headers()
        if request.method != "HEAD":
            self.wfile.write(body)
        if request.path == "/large":
            self.server.script.handed_over.set()

    # http.server finds its methods by these names.
    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = _answer  # noqa: N815

    def address_string(self) -> str:
        """Name the peer; a unix socket's has no address."""
        return "nginx"

    def log_message(self, *_: object) -> None:
        """Stay quiet: the test reads the script."""


class Replica(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """One upstream on a unix socket, which obeys a script."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str, socket: Path, script: Script) -> None:
        """Listen on ``socket`` at once; :meth:`start` begins to answer."""
        super().__init__(str(socket), _Handler)
        self.name = name
        self.script = script
        self.socket_path = socket

    def start(self) -> None:
        """Answer requests in a thread of its own."""
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening, as a replica that is gone."""
        self.shutdown()
        self.server_close()
        self.socket_path.unlink(missing_ok=True)

    def handle_error(self, *_: object) -> None:
        """Stay quiet about connections that nginx gave up."""
