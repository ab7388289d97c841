"""Metrics of a replica for Prometheus, which outlive its workers.

Each worker counts in the files of its *slot*: the smallest number whose lock is free. The kernel
gives the lock back when the worker ends, however it ends, and its successor goes on with the files:
counters never fall, and there are no more files than workers that ever ran at once. Gauges begin
at 0 again. A small process beside the master, ``python unsticky_metrics.py``, adds the files of all
slots up at each scrape.

This is the multi-process mode of prometheus_client with the slot in place of the pid: metrics that
the application makes with that library are in the same answer. docs/metrics.md lists ours.

If METRICS fails, the replica serves on without, and says so once.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import ipaddress
import itertools
import json
import logging
import os
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Any, NoReturn

PREFIX = "unsticky-metrics"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_QUEUE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# More would be names that an application makes of what visitors send.
_MOST_SERIES = 2_000
_MOST_BYTES = 4 << 20
# Clocks of two hosts differ; what differs more is no time of arrival.
_MOST_SKEW, _MOST_WAIT = 1.0, 600.0
_CLIENT_SECONDS = 5
_RESTART_SECONDS = 1.0
_SECONDS_TO_BEGIN = 10.0
_log = logging.getLogger("gunicorn.error")


class Exporter:
    """The folder of a replica's files, and the process that answers scrapes.

    Args:
        arbiter: Gunicorn's master.
        address: ``host:port`` or ``unix:/path``.
        package: the folder that holds prometheus_client.

    Raises:
        OSError: no folder can be made.
    """

    def __init__(self, arbiter: Any, address: str, package: str) -> None:
        base = arbiter.cfg.worker_tmp_dir
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getuid()}-", dir=base))
        if os.geteuid() != arbiter.cfg.uid:
            os.chown(self.folder, arbiter.cfg.uid, arbiter.cfg.gid)
        self.lock = _lock(self.folder / "master.lock")
        if self.lock is None:
            raise OSError(errno.EDEADLK, "somebody else uses the folder of the metrics")
        _sweep(self.folder)
        self.arbiter, self.address, self.package = arbiter, address, package
        self.process: subprocess.Popen[bytes] | None = None
        self.started = -_RESTART_SECONDS
        manage, reap = arbiter.manage_workers, arbiter.reap_workers

        def manage_workers() -> None:
            self.watch()
            manage()

        def reap_workers() -> None:
            # Before Gunicorn, which takes the exit code of every child.
            self.watch()
            reap()

        arbiter.manage_workers, arbiter.reap_workers = manage_workers, reap_workers

    def watch(self) -> None:
        """Start the process if it does not run, at most once a second."""
        if self.process and self.process.poll() is None:
            return
        if time.monotonic() - self.started < _RESTART_SECONDS:
            return
        self.started = time.monotonic()
        # -P: the application's folder hides no module of Python's. It ends when this pipe closes.
        command = [sys.executable, "-P", __file__, self.address, str(self.folder)]
        # The master may have found the package elsewhere than Python looks for it.
        paths = (self.package, os.environ.get("PYTHONPATH"))
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        try:
            command += [str(os.fstat(each.fileno()).st_ino) for each in self.arbiter.LISTENERS]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd="/", env=env)
        except OSError as error:
            _log.warning("cannot start the process that answers METRICS: %s", error)


def serve(arbiter: Any, address: str) -> Exporter | None:
    """Answer scrapes at an address beside this master; None, and a warning, if that cannot be."""
    package = find_spec("prometheus_client")
    if package is None or not package.origin:
        _log.warning("METRICS needs a package: install prometheus-client>=0.18, or set METRICS=0")
        return None
    try:
        return Exporter(arbiter, address, str(Path(package.origin).absolute().parents[1]))
    except OSError as error:
        _log.warning("no metrics: %s", error)
        return None


def _lock(path: Path, flags: int = os.O_CREAT) -> int | None:
    """Return the file's descriptor if no other process has its lock.

    A child does not inherit this kind of lock, and so cannot hold it longer than its owner lives.

    Raises:
        OSError: there can be no file, or no lock.
    """
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | flags, 0o600)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(file)
        return None
    except OSError:
        os.close(file)
        raise
    return file


def _is_free(path: Path) -> bool:
    if (file := _lock(path, 0)) is not None:
        os.close(file)
    return file is not None


def _sweep(own: Path) -> None:
    """Remove folders of this user whose master and workers have all been killed."""
    for folder in own.parent.glob(f"{PREFIX}-{os.getuid()}-*"):
        with suppress(OSError):
            # The own lock would be given up with any descriptor of its file; another master may
            # be about to take that of a folder which it has just made.
            found = folder.lstat()
            is_old = time.time() - found.st_mtime > _SECONDS_TO_BEGIN
            if folder == own or not is_old or not stat.S_ISDIR(found.st_mode):
                continue
            if found.st_uid == own.stat().st_uid and all(map(_is_free, folder.glob("*.lock"))):
                shutil.rmtree(folder)


class Meter:
    """What one worker counts.

    Args:
        exporter: of its master.
        worker: Gunicorn's.

    Raises:
        ImportError: prometheus_client is missing, or too old.
    """

    def __init__(self, exporter: Exporter, worker: Any) -> None:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(exporter.folder)
        from prometheus_client import Counter, Gauge, Histogram

        values: Any = import_module("prometheus_client.values")
        values.MmapedDict = _files(values.MmapedDict)
        values.ValueClass = values.MultiProcessValue(_Slot(exporter.folder).current)
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.proxies = worker.cfg.forwarded_allow_networks()
        self.is_proxy = {"": True}  # by address; a unix socket has none
        self.requests = Counter(
            "unsticky_http_requests",
            "Requests that workers answered.",
            ("method", "route", "status"),
        )
        self.seconds = Histogram(
            "unsticky_http_request_duration_seconds",
            "From the start of the application to the end of the answer.",
            ("route",),
            buckets=_BUCKETS,
        )
        queue = Histogram(
            "unsticky_http_queue_seconds",
            "From nginx, which had the whole request, to a worker.",
            buckets=_QUEUE_BUCKETS,
        )
        active = Gauge(
            "unsticky_http_requests_active",
            "Requests that workers are answering now.",
            multiprocess_mode="livesum",
        )
        capacity = Gauge(
            "unsticky_worker_capacity",
            "Requests that the workers can answer at once.",
            multiprocess_mode="livesum",
        )
        workers = Gauge("unsticky_workers", "Workers that run.", multiprocess_mode="livesum")
        started = Counter("unsticky_workers_started", "Workers that have started.")
        self.active, self.queue = _cell(active._value), _Histogram(queue)
        self.series: dict[tuple[str, str, str], tuple[ctypes.c_double, _Histogram]] = {}
        self.sessions = _Sessions(Counter)
        kind = type(worker).__mro__
        if any(each.__name__ == "ThreadWorker" for each in kind):
            concurrent = worker.cfg.threads
        else:
            is_async = any(each.__name__ == "AsyncWorker" for each in kind)
            concurrent = worker.cfg.worker_connections if is_async else 1
        capacity.set(concurrent)
        started.inc()
        workers.set(1)

    def measured(self, application: Any) -> Any:
        """Return the application, whose requests are counted from here."""

        def measured(environ: dict[str, Any], start_response: Any) -> Any:
            waited = self.waited(environ)
            with self.lock:
                self.active.value += 1
                if waited is not None:
                    self.queue.observe(waited)

            def start(*arguments: Any, **keywords: Any) -> Any:
                # Flask takes its request out of the environment at the end.
                if (request := environ.get("werkzeug.request")) is not None:
                    rule = getattr(request, "url_rule", None)
                    environ["unsticky.route"] = "none" if rule is None else rule.rule
                return start_response(*arguments, **keywords)

            environ["unsticky.began"] = time.perf_counter()
            try:
                return application(environ, start)
            except StopIteration:
                environ["unsticky.status"] = "101"  # so a WebSocket ends
                raise
            except BaseException:
                environ["unsticky.status"] = "500"
                raise

        return measured

    def waited(self, environ: dict[str, Any]) -> float | None:
        """Return the seconds since nginx' stamp, ``t=`` and seconds since the epoch."""
        stamp = environ.get("HTTP_X_REQUEST_START")
        if not stamp or not self.comes_from_proxy(environ["REMOTE_ADDR"]):
            return None
        try:
            waited = time.time() - float(stamp.removeprefix("t="))
        except ValueError:
            return None
        return max(waited, 0.0) if -_MOST_SKEW < waited < _MOST_WAIT else None

    def comes_from_proxy(self, peer: str) -> bool:
        """Tell whether nginx may have set a request's headers."""
        if peer not in self.is_proxy:
            if len(self.is_proxy) >= _MOST_SERIES:
                return False
            with suppress(ValueError):
                address = ipaddress.ip_address(peer)
                self.is_proxy[peer] = any(address in network for network in self.proxies)
        return self.is_proxy.get(peer, False)

    def ended(self, environ: dict[str, Any], response: Any) -> None:
        """Count a request whose answer has been sent."""
        began = environ.pop("unsticky.began", None)
        if began is None or os.getpid() != self.pid:
            return
        spent = time.perf_counter() - began
        # Gunicorn answers 500 if the application raised, whatever it had said before.
        status = environ.get("unsticky.status")
        if status is None:
            status = str(response.status)[:3] if response.headers_sent else "499"
        method = environ["REQUEST_METHOD"]
        method = method if method in _METHODS else "other"
        key = (method, environ.get("unsticky.route", ""), status)
        with self.lock:
            self.active.value -= 1
            counter, histogram = self.series.get(key) or self.begin(key)
            counter.value += 1
            if status != "101":
                histogram.observe(spent)
            self.sessions.publish()

    def begin(self, key: tuple[str, str, str]) -> tuple[ctypes.c_double, _Histogram]:
        """Return the values of a new combination of labels."""
        if len(self.series) >= _MOST_SERIES:
            key = (key[0], "other", key[2])
        if key not in self.series:
            counter = _cell(self.requests.labels(*key)._value)
            self.series[key] = counter, _Histogram(self.seconds.labels(key[1]))
        return self.series[key]


class _Slot:
    """The number of a process among those that run at once; a forked one takes another."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.pid, self.number = folder, 0, ""

    def current(self) -> str:
        if self.pid != (pid := os.getpid()):
            self.pid, self.number = pid, self.take()
        return self.number

    def take(self) -> str:
        try:
            number = next(
                number
                for number in itertools.count(1)
                if _lock(self.folder / f"{number}.lock") is not None
            )
            # The pids of programs that a worker starts are numbers, too.
            slot = f"slot{number}"
            for path in self.folder.glob(f"gauge_*_{slot}.db"):
                path.unlink()
        except OSError as error:
            # An application that counts in a forked child must not get this error.
            _log.warning("no metrics of process %s: %s", self.pid, error)
            return f"lost{self.pid}"
        return slot


class _Histogram:
    """The values behind a histogram without labels, or one of its children."""

    def __init__(self, histogram: Any) -> None:
        self.bounds = histogram._upper_bounds
        self.buckets = [_cell(each) for each in histogram._buckets]
        self.sum = _cell(histogram._sum)

    def observe(self, value: float) -> None:
        self.sum.value += value
        self.buckets[bisect_left(self.bounds, value)].value += 1


def _cell(value: Any) -> ctypes.c_double:
    """Return the place in its file of a value of prometheus_client.

    Its own methods take a lock and ask for the slot each time, and a request would pay six times.
    The caller holds a lock. A value without a place, because the disk is full, counts for nobody.
    """
    file = value._file
    place = file._positions.get(value._key)
    return ctypes.c_double() if place is None else ctypes.c_double.from_buffer(file._m, place)


class _Sessions:
    """What the session library counts in this process, if the application uses it."""

    def __init__(self, counter: Any) -> None:
        self.counter = counter
        self.values: dict[str, ctypes.c_double] = {}
        self.read: Callable[[Any], tuple[float, ...]]
        self.seen: dict[Any, tuple[float, ...]] = {}
        self.conflicts: Any = None
        self.conflicts_seen: dict[Any, int] = {}

    def begin(self, library: Any) -> None:
        """Make a metric of each counter."""
        names = library.Counters().as_dict()
        self.read = attrgetter(*names)
        for name in names:
            full = name if name.startswith("store_") else f"session_{name}"
            text = f"`sessions.counters.{name}` of all workers."
            self.values[name] = _cell(self.counter(f"unsticky_{full}", text)._value)
        name = "unsticky_store_round_trips"
        trips = self.counter(name, "Calls that were sent to the store.")
        self.values["round_trips"] = _cell(trips._value)
        name = "unsticky_session_conflicts_by_field"
        text = "Conflicts on a field in a view."
        self.conflicts = self.counter(name, text, ("endpoint", "field"))

    def publish(self) -> None:
        """Add what has been counted since the last time."""
        library = sys.modules.get("unsticky.state")
        if library is None:
            return
        if not self.values:
            self.begin(library)
        # An application may have an older version of the library.
        for reference in getattr(library, "counting", ()):
            extension = reference()
            if extension is None:
                continue
            now = (*self.read(extension.counters), getattr(extension.store, "round_trips", 0))
            before = self.seen.get(reference) or (0,) * len(now)
            if now == before:
                continue
            self.seen[reference] = now
            for value, new, old in zip(self.values.values(), now, before, strict=True):
                if new != old:
                    value.value += new - old
            for labels, number in tuple(extension.conflicts.items()):
                seen = self.conflicts_seen.get((reference, labels), 0)
                if number != seen:
                    self.conflicts_seen[reference, labels] = number
                    self.conflicts.labels(*labels).inc(number - seen)


def _files(base: Any) -> Any:
    """Return prometheus_client's class of files, changed so that a full disk costs metrics only.

    Its own files have holes: a worker that writes into one on a full disk dies of SIGBUS.
    """

    class Files(base):  # type: ignore[misc]  # known at run time only
        _f: Any
        _m: Any
        _positions: dict[str, int]

        def __init__(self, filename: str) -> None:
            try:
                _reserve(filename, 1 << 16)
                super().__init__(filename)
            except OSError as error:
                _log.warning("no metrics in %s: %s", filename, error)
                self._f = self._m = None
                self._fname, self._capacity, self._used, self._positions = filename, 0, 8, {}

        def _init_value(self, key: str) -> None:
            size = len(key.encode()) + 32
            if self._m is None or size > 1 << 15 or self._used + size > _MOST_BYTES:
                raise OSError(errno.ENOSPC, "no room")
            if self._used + size > self._capacity:
                _reserve(self._fname, 2 * self._capacity)
            super()._init_value(key)

        def close(self) -> None:
            # In a forked child; the cells keep the map.
            with suppress(BufferError):
                super().close()

        def read_value(self, key: str) -> Any:
            try:
                return super().read_value(key)
            except OSError:
                return 0.0, 0.0

        def write_value(self, key: str, value: float, timestamp: float) -> None:
            with suppress(OSError):
                super().write_value(key, value, timestamp)

    return Files


def _reserve(path: str, size: int) -> None:
    """Fill a file with zeros up to a size.

    Raises:
        OSError: there is no room; the file is as before.
    """
    with Path(path).open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while (missing := size - file.tell()) > 0:
                file.write(bytes(missing))
        except OSError:
            file.truncate(before)
            if not before:
                Path(path).unlink()
            raise


def measure(exporter: Exporter, worker: Any) -> None:
    """Count the requests of a worker that has just been forked; hooks of its settings run, too."""
    if exporter.process and exporter.process.stdin:
        exporter.process.stdin.close()  # the master alone keeps the pipe open
    load, settings = worker.load_wsgi, worker.cfg
    initialized, answered = settings.post_worker_init, settings.post_request
    meter: Meter | None = None

    def load_wsgi() -> None:
        # gevent has changed Python's modules, and the application has made no metric yet.
        nonlocal meter
        try:
            meter = Meter(exporter, worker)
        except Exception as error:  # noqa: BLE001 (the application must be served whatever fails)
            # The application's own metrics must not fail, too.
            os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
            values: Any = sys.modules.get("prometheus_client.values")
            if values is not None:
                values.ValueClass = values.MutexValue
            _log.warning("no metrics: %r; is prometheus-client older than 0.18?", error)
        load()

    def post_worker_init(worker: Any) -> None:
        initialized(worker)
        if meter is not None:
            worker.wsgi = meter.measured(worker.wsgi)

    def post_request(worker: Any, request: Any, environ: Any, response: Any) -> None:
        nonlocal meter
        try:
            if meter is not None:
                meter.ended(environ, response)
        except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError):
            meter = None
            _log.exception("no more metrics of this worker")
        answered(worker, request, environ, response)

    worker.load_wsgi = load_wsgi
    settings.set("post_worker_init", post_worker_init)
    settings.set("post_request", post_request)


class _Collector:
    """What a scrape returns."""

    def __init__(self, folder: Path, listeners: Iterable[int]) -> None:
        self.folder, self.listeners = folder, tuple(listeners)
        self.started = (folder / "master.lock").stat().st_mtime

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        yield from self.counted()
        name, text = "unsticky_replica_start_time_seconds", "When the replica started (Unix time)."
        yield GaugeMetricFamily(name, text, self.started)
        if None not in (waiting := [_waiting(inode) for inode in self.listeners]):
            name, text = "unsticky_listen_backlog", "Connections that wait for a worker."
            yield GaugeMetricFamily(name, text, sum(filter(None, waiting)))

    def counted(self) -> Iterable[Any]:
        """Return the sums over all files, but for gauges of workers that have ended."""
        multiprocess: Any = import_module("prometheus_client.multiprocess")
        for tries in itertools.count():
            live = {lock.stem for lock in self.folder.glob("[0-9]*.lock") if not _is_free(lock)}
            files = [
                str(path)
                for path in self.folder.glob("*_slot*.db")
                if not path.name.startswith("gauge_live") or path.stem.rpartition("slot")[2] in live
            ]
            try:
                merged: Iterable[Any] = multiprocess.MultiProcessCollector.merge(files)
            except (FileNotFoundError, struct.error):
                # A worker that has just started is replacing its files.
                if tries > 20:
                    raise
                time.sleep(0.01)
            else:
                break
        return merged


def _waiting(inode: int) -> int | None:
    """Return how many connections wait at a listener; None if the system does not say."""
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", name).read_text(encoding="ascii").splitlines():
                fields = line.split()
                if fields[9] == str(inode):
                    return int(fields[4].partition(":")[2], 16)
    with suppress(OSError, AttributeError, struct.error):
        return _waiting_at_socket_file(inode)
    return None


def _waiting_at_socket_file(inode: int) -> int | None:
    """Ask the kernel as ``ss -xl`` does: sock_diag(7)."""
    by_family, request, listening, queue_length = 20, 1, 1 << 10, 0x10
    head = struct.pack("=IHHII", 40, by_family, request, 1, 0)
    unix = struct.pack("=BBHII", socket.AF_UNIX, 0, 0, listening, inode)
    query = head + unix + struct.pack("=III", queue_length, 0xFFFFFFFF, 0xFFFFFFFF)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as netlink:
        netlink.settimeout(1)
        netlink.send(query)
        answer = netlink.recv(4096)
    if struct.unpack_from("=H", answer, 4)[0] != by_family:
        return None
    at = 32
    while at < len(answer):
        length, kind = struct.unpack_from("=HH", answer, at)
        if kind == 4:
            return int(struct.unpack_from("=I", answer, at + 4)[0])
        at += length + 3 & ~3
    return None


def _listen(address: str) -> socket.socket:
    """Listen at ``host:port`` or ``unix:/path``.

    Raises:
        OSError: it is taken, or cannot be.
    """
    if address.startswith("unix:"):
        path = Path(address.removeprefix("unix:"))
        if path.is_socket():
            with socket.socket(socket.AF_UNIX) as other:
                if other.connect_ex(str(path)) == 0:
                    raise OSError(errno.EADDRINUSE, "another process listens there")
            path.unlink()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        path.chmod(0o660)
        listener.listen()
        return listener
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, int(port)), family=family)


def main() -> None:
    """Answer scrapes at an address until the master has ended; then remove its folder."""
    address, folder = sys.argv[1], Path(sys.argv[2])
    # A terminal sends these to all processes of a group, and some operators, too.
    # It ends with its master, and so after the last worker.
    for each in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
    ):
        signal.signal(each, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _give_up)
    listener: socket.socket | None = None
    complained = False
    while listener is None:
        try:
            listener = _listen(address)
        except OSError as error:
            if not complained:
                _say(f"cannot listen at METRICS={address}: {error}; trying again until I can")
            complained = True
            # For example, the process of a master that is being replaced still listens.
            if select.select([sys.stdin], [], [], 1)[0]:
                break
    else:
        _serve(listener, _Collector(folder, map(int, sys.argv[3:])))
    shutil.rmtree(folder, ignore_errors=True)


def _serve(listener: socket.socket, collector: Any) -> None:
    handler: Any = None
    while sys.stdin not in select.select([sys.stdin, listener], [], [])[0]:
        # The process needs a third of its memory until somebody asks.
        try:
            handler = handler or _handler(collector)
            client, _ = listener.accept()
            with client:
                # One client after the other, and a slow one for so long at most.
                signal.alarm(_CLIENT_SECONDS)
                try:
                    handler(client, ("", 0), None)
                finally:
                    signal.alarm(0)
        except OSError:
            continue  # the client has gone, or was too slow
        except (ImportError, LookupError, RuntimeError, ValueError, struct.error) as error:
            _say(f"a scrape failed: {error!r}")
    address = listener.getsockname()
    if isinstance(address, str):
        Path(address).unlink(missing_ok=True)
    listener.close()


def _handler(collector: Any) -> Any:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import MetricsHandler

    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return MetricsHandler.factory(registry)


def _give_up(_signal: int, _frame: Any) -> NoReturn:
    raise TimeoutError


def _say(message: str) -> None:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    entry = {"time": now, "log": "unsticky.metrics", "level": "error", "message": message}
    sys.stderr.write(f"{json.dumps(entry)}\n")


if __name__ == "__main__":
    main()
