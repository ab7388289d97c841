"""Ask a service whether it is ready: only an answer counts."""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_OK, _CLIENT_ERROR, _SERVER_ERROR = 200, 400, 500
_PROBE_SECONDS = 5.0
# After this time a message says what the verb waits for.
_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a probe; `problem` is empty if the service is ready."""

    problem: str = ""
    is_final: bool = False
    """Whether waiting longer cannot help."""

    @property
    def is_ready(self) -> bool:
        """Whether the service answered as expected."""
        return not self.problem


def store(path: Path) -> Answer:
    """Write to the store on a unix socket; a store that loads its data or is full is not ready."""
    try:
        with _unix(path) as connection:
            # The key is removed at once, because people count keys to see what makes a session.
            connection.sendall(b"SET unsticky:kit:ready 1 EX 10\r\nDEL unsticky:kit:ready\r\n")
            answer, _, _ = connection.recv(200).decode(errors="replace").partition("\r\n")
    except OSError as error:
        return Answer(f"its socket does not answer ({error.strerror or error})")
    return Answer() if answer == "+OK" else Answer(f"it refused a write: {answer}")


def replica(path: Path, host: str, health: str = "/readyz") -> Answer:
    """Request a path from a replica on its unix socket; 2xx and 3xx are ready, at `/` 4xx, too."""
    connection = http.client.HTTPConnection("localhost")
    try:
        connection.sock = _unix(path)
        return _verdict(connection, health, host)
    except (OSError, http.client.HTTPException) as error:
        return Answer(f"its socket does not answer ({error})")
    finally:
        connection.close()


def nginx(port: int, host: str, path: str, prefix: str, *, tls: bool = False) -> Answer:
    """Request a path of the application through nginx, without checking its certificate."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PROBE_SECONDS)
    if tls:
        context = ssl._create_unverified_context()  # noqa: S323, SLF001  (our own port of this host)
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=_PROBE_SECONDS, context=context
        )
    try:
        return _verdict(connection, path, host, prefix)
    except (OSError, http.client.HTTPException) as error:
        return Answer(f"port {port} does not answer ({error})")
    finally:
        connection.close()


def wait(
    probe: Callable[[], Answer], deadline: float, tell: Callable[[str], object] = lambda _: None
) -> Answer:
    """Probe until the answer is final or `time.monotonic()` passes the deadline.

    If that takes long, `tell` is called once with the problem.
    """
    patience = time.monotonic() + _PATIENCE_SECONDS
    while True:
        answer = probe()
        if answer.is_ready or answer.is_final or time.monotonic() > deadline:
            return answer
        if time.monotonic() > patience:
            tell(answer.problem)
            patience = deadline
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


def _verdict(
    connection: http.client.HTTPConnection, path: str, host: str, prefix: str = ""
) -> Answer:
    connection.request("GET", prefix + path, headers={"Host": host, "Connection": "close"})
    response = connection.getresponse()
    body = response.read(10_000)
    # An application without a health check may ask for a login at `/`, or have no page there.
    if _OK <= response.status < (_SERVER_ERROR if path == "/" else _CLIENT_ERROR):
        return Answer()
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    detail = problem.get("detail") or problem.get("title") if isinstance(problem, dict) else None
    reason = f": {str(detail).rstrip('.')}" if detail else ""
    return Answer(f"{path} answers {response.status}{reason}")
