"""Gunicorn's configuration: every setting with its reason, every choice from the environment.

The file stands alone: put it beside an application and start
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
                     asked over TCP only
LOG_LEVEL            debug, info, warning, error or critical            info
RELOAD               1: workers start anew when a file beside this one   0
                     changes; for development only
SECRETS_DIR          where files with secrets are mounted               /run/secrets
==================== ================================================== ====================

Each ``NAME_FILE`` that names a file in SECRETS_DIR gives its content to the application as
``NAME``: ``DATABASE_URL_FILE=/run/secrets/database_url`` becomes ``DATABASE_URL``.
"""

from __future__ import annotations

import errno
import ipaddress
import json
import logging
import os
import select
import socket
import struct
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import gunicorn
from gunicorn import util
from gunicorn.glogging import Logger
from gunicorn.workers.sync import SyncWorker

# The first whose log can be switched off, which JsonLogger asks for; older ones end with an
# AttributeError, some of them only at the first request.
_OLDEST = (25, 2)
if gunicorn.version_info[:2] < _OLDEST:
    raise SystemExit(
        f"error: Gunicorn {gunicorn.__version__} is too old for gunicorn.conf.py\n"
        "  hint: install 25.2 or newer"
    )


def _refuse(name: str, value: str, hint: str) -> SystemExit:
    return SystemExit(f"error: gunicorn.conf.py cannot use {name}={value!r}; hint: {hint}")


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
    """Write the access log and the error log as JSON, one object a line.

    A format string cannot do this: a quote in a header would end its field,
    and with a line break a client could forge a whole entry.
    """

    def setup(self, cfg: Any) -> None:
        """Set the handlers up as Gunicorn does, the error log with a JSON formatter."""
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
        """Return the object; ``exception`` holds the trace where there is one."""
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
    """A sync worker that takes turns with its siblings.

    Gunicorn's own sync workers wait in ``select`` and race for each
    connection, and the one that just answered usually wins: of 300 sequential
    requests over 4 workers, single workers got between 9 and 124. Those that
    wait in ``accept(2)`` are woken by Linux first in, first out: 74 to 76 each.
    All share the master's one listener, so that no worker's end takes
    connections with it, as it would with ``reuse_port``.
    """

    # How long a worker waits in accept(2) before it reports to the master and
    # looks whether it should go: an idle worker ends within this time.
    TURN_SECONDS = 0.25

    # How long a worker told to stop goes on to answer connections that wait.
    # Whoever stops replicas takes them out of nginx first; this serves what
    # had been sent by then.
    DRAIN_SECONDS = 5.0

    told_to_stop = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On SIGTERM, finish what has been accepted and what waits, then go."""
        self.told_to_stop = True
        super().handle_exit(sig, frame)

    def run(self) -> None:
        """Serve until told to stop, recycled, or left without a master."""
        # Others than Linux may ignore a time limit on accept(2), and one
        # accept cannot wait for several listeners.
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
        if self.told_to_stop:
            self.drain(listener)

    def accept_one(self, listener: Any) -> None:
        """Wait one turn for a connection and answer it."""
        try:
            client, address = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            # A stock worker of the same master, before or after a reload with
            # another WORKER_CLASS, takes the blocking mode off for all: the
            # flag belongs to the listener that they share.
            listener.settimeout(None)
            return
        # TCP connections inherit the listener's limit; a client may be slower.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(0))
        client.settimeout(None)
        util.close_on_exec(client)
        self.handle(listener, client, address)

    def drain(self, listener: Any) -> None:
        """Answer the connections that wait, while there are any, up to DRAIN_SECONDS.

        Without this, a stop would reset them: the client cannot know whether a
        POST was carried out, and nginx does not send it again.
        """
        address = listener.getsockname()
        # A stopping master removes its socket file first. If it is there, others
        # go on listening (HUP, USR2) and what waits is theirs. TCP does not tell.
        if isinstance(address, str) and Path(address).exists():
            return
        waiting = select.poll()
        waiting.register(listener.fileno(), select.POLLIN)
        end = time.monotonic() + self.DRAIN_SECONDS
        while waiting.poll(0) and time.monotonic() < end:
            self.notify()
            self.accept_one(listener)
        # Now, while nobody waits: the process itself ends milliseconds later.
        listener.close()


def when_ready(arbiter: Any) -> None:
    """Let a graceful stop over TCP begin with keeping newcomers out.

    A listener that closes resets whoever waits in its queue, and a proxy that
    had sent a POST there must not send it again. With a queue of length 0 the
    kernel lets nobody connect while somebody waits: who stays out has sent
    nothing, and the proxy goes elsewhere. In the master, because it alone
    knows a stop from a reload, where workers end, too.
    """
    stop = arbiter.stop

    def stop_gently(graceful: bool = True) -> None:  # noqa: FBT001, FBT002  # Gunicorn's own signature
        # With a successor (USR2) the listener goes on.
        if graceful and not arbiter.reexec_pid:
            for listener in arbiter.LISTENERS:
                if not isinstance(listener.getsockname(), str):
                    listener.sock.listen(0)
        stop(graceful)

    arbiter.stop = stop_gently


def _timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))


# Read here, once for all workers, so that they agree until the next HUP.
_SECRETS = _secrets(Path(os.environ.get("SECRETS_DIR") or "/run/secrets"))


def post_fork(_arbiter: Any, _worker: Any) -> None:
    """Hand the secrets to the application, which the worker imports next.

    Only here: the environment that the container was started with is shown to everybody who may
    inspect it, and the master hands its own to whatever takes its place.
    """
    for name, value in _SECRETS.items():
        del os.environ[name]
        os.environ[name.removesuffix("_FILE")] = value


_REPLICA = os.environ.get("REPLICA") or socket.gethostname()

# The application, found beside this file wherever Gunicorn was started. Not by
# `chdir`: a relative path to this file would then be lost at the first HUP.
wsgi_app = os.environ.get("APP") or "shop:create_app()"
pythonpath = str(Path(__file__).absolute().parent)

# One listener for all workers. A socket file is open to its owner and group only.
bind = os.environ.get("BIND") or "127.0.0.1:8000"
umask = 0o007

# Two per replica show that no request depends on its worker; CPU-bound
# applications gain up to about one per core.
workers = _integer("WORKERS", 2, 1, 256)

# sync: measured through nginx, the least CPU per request (358 µs against 391 µs
# for gthread with keep-alive), and without keep-alive no request can meet a
# connection that is being closed. gthread or gevent for views that wait long.
_class = _one_of("WORKER_CLASS", "sync", ("sync", "gthread", "gevent"))
worker_class = FairSyncWorker if _class == "sync" else _class
threads = _integer("THREADS", 1, 1, 256)
if threads > 1 and _class != "gthread":
    raise _refuse("THREADS", str(threads), f"WORKER_CLASS={_class} has none; set gthread")

# A view that hangs for 30 s loses its worker; nginx gives up at the same time.
# On stop, workers have 25 s to finish, less than a container's 35 s grace.
timeout = 30
graceful_timeout = 25

# Longer than nginx keeps an idle upstream connection (5 s), so that it is
# always nginx who closes and no request meets a connection just closed here.
keepalive = 15

# Recycle workers against slow leaks, and not all at once.
max_requests = 10_000
max_requests_jitter = 1_000

# For development. Gunicorn watches the modules that were imported, not templates and the like.
reload = _one_of("RELOAD", "0", ("0", "1")) == "1"
reload_extra_files = [
    str(path)
    for path in Path(pythonpath).rglob("*")
    if reload and path.suffix not in {"", ".py", ".pyc"}
]

# Each worker loads the application itself: HUP then brings new code, and no
# connection to the store is shared across a fork.
preload_app = False

# The heartbeat is a file whose times change; on a disk that stalls, workers
# would be killed for it.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None  # noqa: S108  # not a temporary file of ours: Gunicorn makes an unnamed one there

# Its default path is one per user, so two masters would take each other's, and
# on a read-only root it cannot be made. Signals do all we need.
control_socket_disable = True

# Whom to believe about X-Forwarded-Proto. Over a unix socket it is whoever may
# open the socket, and this list is not asked.
forwarded_allow_ips = _proxies("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")

# Slightly more than nginx lets through (8k a line), so that it is nginx who
# refuses, with a problem document.
limit_request_line = 8190
limit_request_field_size = 16_380

# Standard output for requests, standard error for the rest: whoever runs the
# process collects and rotates them.
accesslog = "-"
errorlog = "-"
loglevel = _one_of("LOG_LEVEL", "info", ("debug", "info", "warning", "error", "critical"))
logger_class = JsonLogger
