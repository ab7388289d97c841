"""Whether something answers: the only thing that counts as ready."""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_PROBE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a probe found: ``problem`` is empty if the service is ready."""

    problem: str = ""
    is_final: bool = False
    """Whether waiting longer is for nothing."""

    @property
    def is_ready(self) -> bool:
        """Whether the service answered as it should."""
        return not self.problem


def store(path: Path) -> Answer:
    """Ask a store on a unix socket for a write; a loading or full store is not ready."""
    try:
        with _unix(path) as connection:
            # One write, and nothing of it stays: people count keys to see what makes a session.
            connection.sendall(b"SET unsticky:kit:ready 1 EX 10\r\nDEL unsticky:kit:ready\r\n")
            answer, _, _ = connection.recv(200).decode(errors="replace").partition("\r\n")
    except OSError as error:
        return Answer(f"its socket does not answer ({error.strerror or error})")
    return Answer() if answer == "+OK" else Answer(f"it refused a write: {answer}")


def replica(path: Path, host: str) -> Answer:
    """Ask a replica on its unix socket for ``/readyz``.

    404 counts too: the application answers, and has no such path.
    """
    try:
        with _unix(path) as connection:
            connection.sendall(f"GET /readyz HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            response = http.client.HTTPResponse(connection)
            response.begin()
            body = response.read(10_000)
    except (OSError, http.client.HTTPException) as error:
        return Answer(f"its socket does not answer ({error})")
    if response.status in {200, 404}:
        return Answer()
    return Answer(f"/readyz says {response.status}{_detail(body)}")


def proxy(port: int, host: str, path: str = "/livez", *, tls: bool = False) -> Answer:
    """Ask for a path through nginx; whose certificate it shows is not asked."""
    connection = (
        http.client.HTTPSConnection(
            "127.0.0.1",
            port,
            timeout=_PROBE_SECONDS,
            context=ssl._create_unverified_context(),  # noqa: S323, SLF001  (our own port of this host)
        )
        if tls
        else http.client.HTTPConnection("127.0.0.1", port, timeout=_PROBE_SECONDS)
    )
    try:
        connection.request("GET", path, headers={"Host": host, "Connection": "close"})
        response = connection.getresponse()
        body = response.read(10_000)
    except (OSError, http.client.HTTPException) as error:
        return Answer(f"port {port} does not answer ({error})")
    finally:
        connection.close()
    if response.status in {200, 404}:
        return Answer()
    return Answer(f"{path} says {response.status}{_detail(body)}")


def wait(probe: Callable[[], Answer], deadline: float) -> Answer:
    """Probe until it is ready or ``time.monotonic()`` passes the deadline; return the last."""
    while True:
        answer = probe()
        if answer.is_ready or answer.is_final or time.monotonic() > deadline:
            return answer
        time.sleep(0.05)


def _unix(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_PROBE_SECONDS)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _detail(body: bytes) -> str:
    try:
        problem = json.loads(body)
    except ValueError:
        return ""
    detail = problem.get("detail") or problem.get("title") if isinstance(problem, dict) else None
    return f": {str(detail).rstrip('.')}" if detail else ""
