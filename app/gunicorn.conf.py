"""Gunicorn's configuration: every setting with its reason, every choice from the environment.

The file needs no other file of this project: put it beside an application and start
``gunicorn -c gunicorn.conf.py``. It needs Gunicorn 25.2 or newer. It reads:

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
LOG_LEVEL            debug, info, warning, error or critical            info
RELOAD               1: workers restart if a file beside this one       0
                     changes; for development only
SECRETS_DIR          where files with secrets are mounted               /run/secrets
==================== ================================================== ====================

If ``NAME_FILE`` names a file in SECRETS_DIR, the application gets the content of the file as
``NAME``: ``DATABASE_URL_FILE=/run/secrets/database_url`` becomes ``DATABASE_URL``.
"""

from __future__ import annotations

import errno
import importlib
import ipaddress
import json
import logging
import os
import select
import socket
import stat
import struct
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import gunicorn
from gunicorn import util
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.workers.sync import SyncWorker

# JsonLogger needs `access_log_enabled`, which Gunicorn 25.2 added. Older versions raise an
# AttributeError, some of them only at the first request.
_OLDEST = (25, 2)
if gunicorn.version_info[:2] < _OLDEST:
    raise SystemExit(
        f"error: Gunicorn {gunicorn.__version__} is too old for gunicorn.conf.py\n"
        "  hint: install 25.2 or newer"
    )


def _refuse(name: str, value: str, hint: str) -> SystemExit:
    return SystemExit(f"error: gunicorn.conf.py cannot use {name}={value!r}\n  hint: {hint}")


def _integer(name: str, default: int, lowest: int, highest: int) -> int:
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
        raise _refuse(name, text, f"give a whole number from {lowest} to {highest}")
    return int(text)


def _one_of(name: str, default: str, allowed: tuple[str, ...]) -> str:
    text = os.environ.get(name) or default
    if text not in allowed:
        raise _refuse(name, text, f"give one of {', '.join(allowed)}")
    return text


def _proxies(name: str, default: str) -> str:
    text = os.environ.get(name) or default
    for entry in text.split(","):
        try:
            ipaddress.ip_network(entry.strip())
        except ValueError:
            hint = "list addresses or networks, such as 172.16.0.0/12, with commas between"
            if entry.strip() == "*":
                hint += "; with * any client could claim to come over TLS"
            raise _refuse(name, text, hint) from None
    return text


def _secrets(folder: Path) -> dict[str, str]:
    found = {}
    for name, path in os.environ.items():
        if not name.endswith("_FILE") or folder not in Path(path).parents:
            continue
        if os.environ.get(name.removesuffix("_FILE")):
            raise _refuse(name, path, f"{name.removesuffix('_FILE')} is set, too; keep one")
        try:
            found[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            hint = f"give a text file that this user can read ({error})"
            raise _refuse(name, path, hint) from None
    return found


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
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
        util.close_on_exec(client)
        self.handle(listener, client, address)

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


_LOADED = 0o400


def post_worker_init(worker: Any) -> None:
    """Note at the file that the master watches that this worker has loaded the application.

    By its mode, because every user of the host can fill /dev/shm, and then nothing can be written.
    """
    os.fchmod(worker.tmp.fileno(), _LOADED)


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


# Read once for all workers, so that they have the same secrets until the next HUP.
_SECRETS = _secrets(Path(os.environ.get("SECRETS_DIR") or "/run/secrets"))


def post_fork(_arbiter: Any, _worker: Any) -> None:
    """Pass the secrets to the application, which the worker imports next.

    The master does not put them into its own environment, because a new master (USR2) inherits
    it, and the start environment of a container is visible to all who may inspect the container.
    """
    for name, value in _SECRETS.items():
        del os.environ[name]
        os.environ[name.removesuffix("_FILE")] = value


_REPLICA = os.environ.get("REPLICA") or socket.gethostname()

# Gunicorn finds the application beside this file, whatever its working folder.
# With `chdir`, a HUP would no longer find this file by a relative path.
wsgi_app = os.environ.get("APP") or "shop:create_app()"
pythonpath = str(Path(__file__).absolute().parent)

# One listener for all workers. Only owner and group may open a socket file.
bind = os.environ.get("BIND") or "127.0.0.1:8000"
umask = 0o007

# Two per replica show that no request depends on its worker. CPU-bound
# applications gain from more, up to about one per core.
workers = _integer("WORKERS", 2, 1, 256)

# sync needs the least CPU per request (through nginx 358 µs, against 391 µs for
# gthread with keep-alive). Without keep-alive no request can arrive on a
# connection that is closing. Use gthread or gevent for views that wait long.
_class = _one_of("WORKER_CLASS", "sync", ("sync", "gthread", "gevent"))
worker_class = FairSyncWorker if _class == "sync" else _class
threads = _integer("THREADS", 1, 1, 256)
if threads > 1 and _class != "gthread":
    raise _refuse("THREADS", str(threads), f"WORKER_CLASS={_class} has none; set gthread")

# Gunicorn ends a worker whose view hangs so long; nginx gives up at the same
# time. At a stop, workers have as long to finish; the engine waits 5 s longer.
timeout = graceful_timeout = _integer("REQUEST_SECONDS", 30, 1, 86_400)

# Longer than nginx keeps an idle upstream connection (5 s), so that nginx
# always closes first and sends no request on a closed connection.
keepalive = 15

# Replace workers against slow leaks; the jitter spreads the replacements.
max_requests = 10_000
max_requests_jitter = 1_000

# For development. Gunicorn itself watches only imported modules, not templates and other files.
reload = _one_of("RELOAD", "0", ("0", "1")) == "1"
reload_extra_files = [
    str(path)
    for path in Path(pythonpath).rglob("*")
    if reload and path.suffix not in {"", ".py", ".pyc"}
]

# Each worker loads the application itself, so that HUP loads new code and
# forked workers share no connection to the store.
preload_app = False
# The master loads these packages, for all workers: with them a worker takes 0.22 s of
# CPU to start, without 0.10 s. This counts if requests kill workers faster than new
# ones start. A new version of a package needs a restart. Not for gevent, which
# must change Python's modules before any package uses them.
for _package in ("flask", "redis") if _class != "gevent" else ():
    with suppress(ImportError):
        importlib.import_module(_package)

# Workers report to the master by the times of a file. On a slow disk Gunicorn
# would kill them for a late report.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None  # noqa: S108  # not a temporary file of ours: Gunicorn makes an unnamed one there

# The default path is the same for all masters of a user, so that two masters
# would share it, and a read-only root does not allow it. Signals are enough.
control_socket_disable = True

# The proxies whose X-Forwarded-Proto counts. Over a unix socket the header
# counts from every process that may open the socket.
forwarded_allow_ips = _proxies("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")

# Slightly more than nginx accepts (8k per line), so that nginx rejects the
# request with a problem document.
limit_request_line = 8190
limit_request_field_size = 16_380

# Requests go to standard output, the rest to standard error. The supervisor or
# the container engine collects and rotates both.
accesslog = "-"
errorlog = "-"
loglevel = _one_of("LOG_LEVEL", "info", ("debug", "info", "warning", "error", "critical"))
logger_class = JsonLogger
