"""Gunicorn's settings. ``unsticky_gunicorn`` holds the rest, and lists the variables."""

import importlib
import os
import sys
from contextlib import suppress
from pathlib import Path

# Python looks for the application in the working folder first. This folder and lib/ come last, so
# that they hide no package of the application.
_folder = Path(__file__).absolute().parent
sys.path += [path for path in (str(_folder), str(_folder / "lib")) if path not in sys.path]
_ours = importlib.import_module("unsticky_gunicorn")
wsgi_app = os.environ.get("APP") or "shop:create_app()"
# One listener for all workers. Only owner and group may open a socket file.
bind = os.environ.get("BIND") or "127.0.0.1:8000"
umask = 0o007
# CPU-bound applications gain from more, up to about one per core.
workers = _ours.integer("WORKERS", 2, 1, 256)
# sync needs the least CPU, and without keep-alive no request arrives on a closing connection. Use
# gthread or gevent for views that wait long.
_class = _ours.one_of("WORKER_CLASS", "sync", "gthread", "gevent")
worker_class = _ours.FairSyncWorker if _class == "sync" else _class
threads = _ours.integer("THREADS", 1, 1, 256)
if threads > 1 and _class != "gthread":
    raise _ours.refuse("THREADS", str(threads), f"WORKER_CLASS={_class} has none; set gthread")
# Gunicorn ends a worker whose view hangs so long; nginx gives up at the same time. At a stop,
# workers have as long to finish; the engine waits 5 s longer.
timeout = graceful_timeout = _ours.integer("REQUEST_SECONDS", 30, 1, 86_400)
# Longer than nginx keeps an idle upstream connection (5 s), so that nginx always closes first.
keepalive = 15
# Replace workers against slow leaks; the jitter spreads the replacements.
max_requests, max_requests_jitter = 10_000, 1_000
# For development. Gunicorn itself watches only imported modules, not templates and other files.
reload = _ours.one_of("RELOAD", "0", "1") == "1"
_files = Path.cwd().rglob("*") if reload else ()
reload_extra_files = [str(each) for each in _files if each.suffix not in {"", ".py", ".pyc"}]
# Each worker loads the application itself, so that HUP loads new code and workers share no
# connection. The master loads these packages for all, which saves half of a worker's start; a new
# version needs a restart. Not for gevent, which must change Python's modules first.
preload_app = False
for _package in ("flask", "redis", "prometheus_client") if _class != "gevent" else ():
    with suppress(ImportError):
        importlib.import_module(_package)
# Workers report to the master by the times of a file; on a slow disk they would be killed as late.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None  # noqa: S108  # not a temporary file of ours: Gunicorn makes an unnamed one there
# All masters of a user would share its default path. Signals are enough.
control_socket_disable = True
# The proxies whose X-Forwarded-* headers count; over a unix socket they always count.
forwarded_allow_ips = _ours.proxies("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
# Slightly more than nginx accepts (8k per line), so that nginx rejects the request.
limit_request_line, limit_request_field_size = 8190, 16_380
# The supervisor or the container engine collects and rotates both.
accesslog = errorlog = "-"
loglevel = _ours.one_of("LOG_LEVEL", "info", "debug", "warning", "error", "critical")
logger_class = _ours.JsonLogger
# Read once for all workers, so that they have the same secrets until the next HUP.
_ours.read_secrets()
post_fork, post_worker_init, when_ready = _ours.post_fork, _ours.post_worker_init, _ours.when_ready
