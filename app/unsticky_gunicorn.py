"""What Gunicorn needs for this project beside its settings: workers, logs, secrets, stops.

``gunicorn.conf.py`` beside this file imports it. So it must import no package of an application:
the master would keep the old version at a reload, and gevent must change Python's modules first.

==================== ================================================== ====================
variable             meaning                                            default
==================== ================================================== ====================
APP                  the WSGI application, ``module:callable()``        shop:create_app()
BIND                 ``unix:/path/to.sock`` or ``host:port``            127.0.0.1:8000
WORKERS              worker processes, 1 to 256                         2
WORKER_CLASS         ``sync`` (see FairSyncWorker), ``gthread``,        sync
                     ``gevent``
THREADS              threads a worker, 1 to 256; gthread only           1
REPLICA              name of this replica in the logs                   the host's name
FORWARDED_ALLOW_IPS  addresses or networks of the proxies in front;     127.0.0.1,::1
                     used over TCP only
PROXY_HOPS           proxies in front whose X-Forwarded-For and         1
                     X-Forwarded-Prefix count, 0 to 8
LOG_LEVEL            debug, info, warning, error or critical            info
METRICS              ``host:port`` or ``unix:/path`` where Prometheus  0
                     finds metrics (docs/metrics.md); 0: none
RELOAD               1: workers restart if a file in the working        0
                     folder changes; for development only
SECRETS_DIR          where files with secrets are mounted               /run/secrets
==================== ================================================== ====================

If ``NAME_FILE`` names a file in SECRETS_DIR, the application gets the content of the file as
``NAME``: ``DATABASE_URL_FILE=/run/secrets/database_url`` becomes ``DATABASE_URL``. The first line
of ``SECRET_KEY_FILE`` becomes ``SECRET_KEY``, further lines ``SECRET_KEY_FALLBACKS``: keys with
which cookies are accepted, too. After a HUP, workers have what the files hold then.

``python -m unsticky_gunicorn`` checks the health of a container's Gunicorn: it ends with 0, or
with 1 and the reason. ``python -m unsticky_gunicorn COMMAND…`` runs a command with the secrets that
workers get: a migration, a queue's worker, a shell.
"""

from __future__ import annotations

import os
import socket
import sys

if __name__ == "__main__" and not sys.argv[1:]:
    # The health check: as nginx would, it requests HEALTH_PATH of the first of TRUSTED_HOSTS, and
    # waits 2 s at most. It is here because the imports below take eight times as long.
    _port = int(os.environ.get("BIND", "127.0.0.1:8000").rpartition(":")[2])
    _host = (os.environ.get("TRUSTED_HOSTS") or "localhost").partition(",")[0].strip().lstrip(".")
    _path = os.environ.get("HEALTH_PATH") or "/livez"
    _get = f"GET {_path}"
    try:
        with socket.create_connection(("127.0.0.1", _port), timeout=2) as _connection:
            _head = f"{_get} HTTP/1.1\r\nHost: {_host}\r\nConnection: close\r\n\r\n"
            _connection.sendall(_head.encode())
            _status = _connection.makefile("rb").readline().split()[1].decode()
    except (OSError, IndexError) as _error:
        sys.exit(f"{_get}: {_error}")
    # 2xx and 3xx are healthy. An application may refuse strangers at /, or have nothing there.
    sys.exit(None if _status[0] in ("234" if _path == "/" else "23") else f"{_get}: {_status}")

import errno
import ipaddress
import json
import logging
import select
import stat
import struct
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import gunicorn
import unsticky_metrics
import unsticky_traces
from gunicorn import util
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.http import wsgi
from gunicorn.workers.sync import SyncWorker

# After USR2, `python -m gunicorn` is run by its path: Python looks in that folder first, where
# `http` hides its own.
with suppress(ValueError):
    sys.path.remove(str(Path(gunicorn.__file__).parent))

# JsonLogger needs `access_log_enabled`, which Gunicorn 25.2 added. Older versions raise an
# AttributeError, some of them only at the first request.
_OLDEST = (25, 2)
if gunicorn.version_info[:2] < _OLDEST:
    raise SystemExit(
        f"error: Gunicorn {gunicorn.__version__} is too old for gunicorn.conf.py\n"
        "  hint: install 25.2 or newer"
    )

_REPLICA = os.environ.get("REPLICA") or socket.gethostname()
_secrets: dict[str, str] = {}


def integer(name: str, default: int, lowest: int, highest: int) -> int:
    """Return a whole number from the environment; end the program if it is none in the range."""
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
        raise refuse(name, text, f"give a whole number from {lowest} to {highest}")
    return int(text)


def one_of(name: str, default: str, *others: str) -> str:
    """Return one of these words from the environment; end the program if it is none of them."""
    text = os.environ.get(name) or default
    if text not in (default, *others):
        raise refuse(name, text, f"give one of {', '.join((default, *others))}")
    return text


def proxies(name: str, default: str) -> str:
    """Return addresses and networks from the environment; end the program if one is wrong."""
    text = os.environ.get(name) or default
    for entry in text.split(","):
        try:
            ipaddress.ip_network(entry.strip())
        except ValueError:
            hint = "list addresses or networks, such as 172.16.0.0/12, with commas between"
            if entry.strip() == "*":
                hint += "; with * any client could claim to come over TLS"
            raise refuse(name, text, hint) from None
    return text


def listening(name: str) -> str:
    """Return where to listen, from the environment; end the program if that cannot be."""
    text = os.environ.get(name) or "0"
    host, _, port = text.rpartition(":")
    is_port = port.isascii() and port.isdigit() and 0 < int(port) < 65536
    if text == "0":
        return ""
    is_usable = text.startswith("unix:/") or (host and is_port)
    if not is_usable or text == (os.environ.get("BIND") or "127.0.0.1:8000"):
        raise refuse(name, text, "give another host:port or unix:/path than BIND, or 0 for none")
    return text


def refuse(name: str, value: str, hint: str) -> SystemExit:
    """Return what ends the program because of a variable."""
    return SystemExit(f"error: gunicorn.conf.py cannot use {name}={value!r}\n  hint: {hint}")


_HOPS = integer("PROXY_HOPS", 1, 0, 8)
_METRICS = listening("METRICS")
_FORWARDED = {
    "REMOTE_ADDR": "HTTP_X_FORWARDED_FOR",
    "SCRIPT_NAME": "HTTP_X_FORWARDED_PREFIX",
}


def read_secrets() -> None:
    """Read each file that ``NAME_FILE`` names in SECRETS_DIR, for the workers that start next.

    A file that cannot be read ends the start. At a reload its former content counts on, because
    Gunicorn would end all workers.
    """
    folder = Path(os.environ.get("SECRETS_DIR") or "/run/secrets")
    for name, path in os.environ.items():
        if not name.endswith("_FILE") or folder not in Path(path).parents:
            continue
        if os.environ.get(name.removesuffix("_FILE")):
            raise refuse(name, path, f"{name.removesuffix('_FILE')} is set, too; keep one")
        try:
            _secrets[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            refusal = refuse(name, path, f"give a text file that this user can read ({error})")
            if name not in _secrets:
                raise refusal from None
            logging.getLogger("gunicorn.error").warning("%s; its former content counts on", refusal)


def reveal_secrets() -> None:
    """Put the secrets into the environment of this process, in place of the files' names.

    Not in the master's: a new master (USR2) inherits it, and the environment with which a
    container's process started is visible to all who may inspect the container.
    """
    for name, value in _secrets.items():
        del os.environ[name]
        first, line_break, others = value.partition("\n")
        if name == "SECRET_KEY_FILE" and line_break:
            # The line break at the end: even one key may have spaces.
            os.environ |= {"SECRET_KEY": first.strip(), "SECRET_KEY_FALLBACKS": f"{others}\n"}
        else:
            os.environ[name.removesuffix("_FILE")] = value


def post_fork(arbiter: Any, worker: Any) -> None:
    """Pass the secrets to the application, which the worker imports next; measure and trace it."""
    reveal_secrets()
    if exporter := getattr(arbiter, "exporter", None):
        unsticky_metrics.measure(exporter, worker)
    if unsticky_traces.is_on():
        unsticky_traces.trace(worker, _REPLICA)


class JsonLogger(Logger):  # type: ignore[misc]  # Gunicorn ships no types
    """Write the access log and the error log as JSON, one object per line.

    A format string is not safe: a quote in a header would end its field, and a
    client could forge a whole entry with a line break.
    """

    def setup(self, cfg: Any) -> None:
        """Set up Gunicorn's handlers, and give the error log a JSON formatter."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonFormatter())

    def access(self, resp: Any, _req: Any, environ: Any, request_time: timedelta) -> None:
        """Write one entry; durations are in milliseconds, sizes in bytes of the body."""
        if not self.access_log_enabled:
            return
        sent = {name.lower(): value for name, value in resp.headers}
        entry = {
            "time": _now(),
            "log": "access",
            "request_id": sent.get("x-request-id") or environ.get("HTTP_X_REQUEST_ID"),
            "remote_addr": environ.get("REMOTE_ADDR"),
            "method": environ.get("REQUEST_METHOD"),
            "uri": environ.get("RAW_URI"),
            "protocol": environ.get("SERVER_PROTOCOL"),
            "status": int(str(resp.status).split(maxsplit=1)[0]),
            "bytes": resp.sent,
            "duration_ms": round(request_time.total_seconds() * 1000, 3),
            "user_agent": environ.get("HTTP_USER_AGENT"),
            "referer": environ.get("HTTP_REFERER"),
            "served_by": f"{_REPLICA}/{os.getpid()}",
        }
        # Gunicorn's own answer to a request that raised has another environment.
        raised = sys.exc_info()[1]
        if trace_id := environ.get("unsticky.trace_id") or unsticky_traces.trace_id(raised):
            entry["trace_id"] = trace_id
        self.access_log.info(json.dumps(entry))


class JsonFormatter(logging.Formatter):
    """Format a log record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object; ``exception`` holds the trace, if there is one."""
        entry = {
            "time": _now(),
            "log": record.name,
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "served_by": f"{_REPLICA}/{os.getpid()}",
        }
        if trace_id := unsticky_traces.trace_id(record.exc_info[1] if record.exc_info else None):
            entry["trace_id"] = trace_id
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JoinedResponse(wsgi.Response):  # type: ignore[misc]  # Gunicorn ships no types
    """An answer whose head is sent together with the beginning of its body.

    Gunicorn sends them apart, which wakes the proxy twice.
    """

    # A long body is not copied behind its head.
    MOST_BYTES = 65_536

    sock: Any
    headers_sent: bool

    def write(self, arg: bytes) -> None:
        """Send a part of the body, behind the head if that was not sent yet."""
        # Gunicorn's class for HTTP/2 frames its answers itself.
        if self.headers_sent or type(self) is not JoinedResponse or len(arg) > self.MOST_BYTES:
            super().write(arg)
            return
        sock: Any = self.sock
        parts = self.sock = _Parts()
        try:
            super().write(arg)
        finally:
            self.sock = sock
            if parts:  # none if the head cannot be made: Gunicorn answers with 500
                self._send(b"".join(parts))

    def _send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError:
            self.headers_sent = False  # the client has left
            raise


class _Parts(list[bytes]):
    """What a socket would send."""

    sendall = list.append


wsgi.Response = JoinedResponse


class FairSyncWorker(SyncWorker):  # type: ignore[misc]  # Gunicorn ships no types
    """A sync worker that takes turns with the other workers.

    Gunicorn's own sync workers wait in ``select`` and race for each
    connection. The worker that answered last usually wins: of 300 sequential
    requests over 4 workers, each got between 9 and 124. Linux wakes
    workers that wait in ``accept(2)`` in the order in which they came: 74 to 76
    requests each. All workers share the master's one listener, so that no
    connection is lost when a worker ends, as it would be with ``reuse_port``.
    """

    # A worker waits this long in accept(2), then reports to the master and
    # checks whether it has to stop. So an idle worker ends within this time.
    TURN_SECONDS = 0.25

    # After SIGTERM a worker answers waiting connections for at most this long.
    # The replica is out of nginx before it stops; these are requests that
    # nginx had sent earlier.
    DRAIN_SECONDS = 5.0

    stopping = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On SIGTERM, finish the accepted and the waiting requests, then end."""
        self.stopping = True
        super().handle_exit(sig, frame)

    def run(self) -> None:
        """Serve until SIGTERM, ``max_requests``, or the end of the master."""
        # Systems other than Linux may ignore a time limit on accept(2), and
        # one accept cannot wait for several listeners.
        if sys.platform != "linux" or len(self.sockets) != 1:
            super().run()
            return
        listener = self.sockets[0]
        listener.settimeout(None)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(self.TURN_SECONDS))
        while self.alive:
            self.notify()
            self.accept_one(listener)
            if not self.is_parent_alive():
                return
        if self.stopping:
            self.drain(listener)

    def accept_one(self, listener: Any) -> None:
        """Wait one turn for a connection and answer it."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            # After a reload with another WORKER_CLASS, Gunicorn's own workers
            # may use the same listener. They make it non-blocking for all.
            listener.settimeout(None)
            return
        # A TCP connection inherits the listener's limit, but clients may be slower.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(0))
        client.settimeout(None)
        self.handle(listener, client, address)

    def handle_request(self, listener: Any, req: Any, client: Any, addr: Any) -> None:
        """Answer a request, and close its connection at once if the client has sent no more.

        Gunicorn waits for the client to close first, for up to 2 s, because a
        connection that is closed with unread data loses its answer. A client
        that sends another request after this moment, although the answer says
        that the connection closes, may lose the answer. No proxy does so.
        """
        super().handle_request(listener, req, client, addr)
        if self.cfg.is_ssl or getattr(req.body.reader, "length", None) != 0:
            return
        with suppress(OSError):  # EAGAIN: nothing more
            if client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                return
        # A process that the view has started may still hold the connection.
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)
        client.close()

    def drain(self, listener: Any) -> None:
        """Answer all waiting connections, for at most DRAIN_SECONDS.

        Otherwise a stop would reset them. The client then cannot know whether a
        POST was carried out, and nginx does not send it again.
        """
        address = listener.getsockname()
        # A stopping master first removes its socket file. If the file exists, other
        # workers still listen (HUP, USR2) and will answer. TCP has no such sign.
        if isinstance(address, str) and Path(address).exists():
            return
        waiting = select.poll()
        waiting.register(listener.fileno(), select.POLLIN)
        end = time.monotonic() + self.DRAIN_SECONDS
        while waiting.poll(0) and time.monotonic() < end:
            self.notify()
            self.accept_one(listener)
        # Close now, while no connection waits: the process ends milliseconds later.
        listener.close()


def _write_problem(client: Any, status: int, title: str, _reason: str) -> None:
    """Answer a request that Gunicorn itself refuses with a problem document (RFC 9457).

    Gunicorn's own answer is an HTML page that repeats what the client sent.
    """
    of_client = status < 500
    detail = "The request is not valid HTTP." if of_client else "The application failed."
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body = f"{json.dumps(problem)}\n"
    head = (
        f"HTTP/1.1 {status} {title}\r\nConnection: close\r\nCache-Control: no-store\r\n"
        f"Content-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(client, (head + body).encode("ascii"))


util.write_error = _write_problem


def when_ready(arbiter: Any) -> None:
    """Change what the master does if a worker ends, and if it stops itself."""
    _outlive_workers(arbiter)
    _stop_gently(arbiter)
    if _METRICS:
        arbiter.exporter = unsticky_metrics.serve(arbiter, _METRICS)


_LOADED = 0o400


def post_worker_init(worker: Any) -> None:
    """Put the application behind its proxies, and note that this worker has loaded it.

    The note is the mode of the file that the master watches, because every user of the host can
    fill /dev/shm, and then nothing can be written.
    """
    worker.wsgi = _named_if_it_fails(worker.wsgi)
    if _HOPS:
        worker.wsgi = _behind_proxies(worker.wsgi, worker.cfg.forwarded_allow_networks())
    os.fchmod(worker.tmp.fileno(), _LOADED)


def _named_if_it_fails(application: Any) -> Any:
    """Return the application, with the request's id in the trace that Gunicorn logs if it raises.

    Gunicorn's error log has no other sign of the request, and its access log no entry.
    """

    def named(environ: dict[str, Any], start_response: Any) -> Any:
        try:
            return application(environ, start_response)
        except Exception as error:
            error.add_note(f"request_id: {environ.get('HTTP_X_REQUEST_ID')}")
            raise

    return named


def _behind_proxies(application: Any, trusted: Any) -> Any:
    """Return the application with the client's address and the path prefix that proxies name.

    Gunicorn sets the scheme itself, and nginx passes on Host. The headers stay, and Werkzeug's
    ProxyFix, if the application uses it, sets the same values again. A header counts if it comes
    over a unix socket, which has no address, or from a trusted one.
    """

    def proxied(environ: dict[str, Any], start_response: Any) -> Any:
        peer = environ["REMOTE_ADDR"]
        if not peer or any(ipaddress.ip_address(peer) in network for network in trusted):
            for name, header in _FORWARDED.items():
                values = environ.get(header, "").split(",")
                if len(values) >= _HOPS and (value := values[-_HOPS].strip()):
                    environ[name] = value
        return application(environ, start_response)

    return proxied


def _outlive_workers(arbiter: Any) -> None:
    """Replace a worker that ends with status 3 or 4, unless it could not load the application.

    Gunicorn takes these two for an application that does not load, and ends the replica with
    all its requests. But a request can also end its worker so: C code that calls ``exit(3)``.
    """
    reap = arbiter.reap_workers
    arbiter.is_stopping = False

    def reap_workers() -> None:
        while True:
            workers = set(arbiter.WORKERS.values())
            try:
                reap()
            except HaltServer:
                for worker in workers - set(arbiter.WORKERS.values()):
                    # Gunicorn has closed the files of those that it was going to replace.
                    with suppress(ValueError):
                        loaded = stat.S_IMODE(os.fstat(worker.tmp.fileno()).st_mode) == _LOADED
                        # Raised again during a stop, it would interrupt the stop.
                        if not loaded and not arbiter.is_stopping:
                            raise
                        worker.tmp.close()
            else:
                return

    arbiter.reap_workers = reap_workers


def _stop_gently(arbiter: Any) -> None:
    """Accept no new connections over TCP once a graceful stop begins.

    A listener that closes resets the connections in its queue. If a proxy has
    sent a POST on one of them, it must not send the POST again. With a queue
    of length 0 the kernel accepts no connection while another one waits, so
    the proxy has sent nothing and uses another replica. The master does this,
    because workers also end at a reload and only the master knows the reason.
    """
    stop = arbiter.stop

    def stop_gently(graceful: bool = True) -> None:  # noqa: FBT001, FBT002  # Gunicorn's own signature
        arbiter.is_stopping = True
        # After USR2 a second master goes on with the listener.
        if graceful and not arbiter.reexec_pid:
            for listener in arbiter.LISTENERS:
                if not isinstance(listener.getsockname(), str):
                    listener.sock.listen(0)
        stop(graceful)

    arbiter.stop = stop_gently


def _timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))


if __name__ == "__main__":
    read_secrets()
    reveal_secrets()
    # For commands such as `flask db upgrade`.
    os.environ.setdefault("FLASK_APP", os.environ.get("APP", ""))
    os.execvp(sys.argv[1], sys.argv[1:])
