"""The race of docs/guarantees.md on SQLite, and greenlets that wait for its lock."""

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.checkout import ROOT
from tests.support.waiting import wait_until

_APP = """
from flask import Flask
from unsticky import Unsticky, session

app = Flask(__name__)
app.config.update(SECRET_KEY="a key", UNSTICKY_STORE="sqlite:///{path}", UNSTICKY_DEADLINE=8.0)
Unsticky(app)

@app.post("/add")
def add():
    return str(session.map("cart").incr("tea"))

@app.get("/count")
def count():
    return str(session.map("cart").get("tea", 0))
"""

_LOCK = """
from gevent import monkey
monkey.patch_all()
import pathlib, sqlite3, sys
import gevent
from unsticky.stores import Caps, Deadline
from unsticky.stores.sqlite import SqliteStore

store = SqliteStore(pathlib.Path(sys.argv[1]), Caps(10, 1000))
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
# The holder of the lock is a greenlet, too: it can only give it back while the others run.
gevent.spawn_later(0.3, other.execute, "COMMIT")
ran = []
gevent.spawn_later(0.1, ran.append, True)
waiting = [gevent.spawn(store.probe, Deadline(20.0)) for _ in range(5)]
gevent.joinall(waiting, raise_error=True)
assert ran
print("held")
"""


@contextmanager
def served(folder: Path, *options: str) -> Iterator[str]:
    """Serve the application by four workers."""
    (folder / "site_of_race.py").write_text(_APP.format(path=folder / "sessions.db"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "gunicorn", "--workers", "4", "--bind", address]
    paths = os.pathsep.join((str(folder), str(ROOT / "app")))
    server = subprocess.Popen(
        [*command, "--no-control-socket", "--log-level", "error", *options, "site_of_race:app"],
        env={**os.environ, "PYTHONPATH": paths},
        cwd=folder,
    )
    try:
        url = f"http://{address}"
        wait_until(lambda: httpx.get(f"{url}/count"), "the server", ignoring=httpx.HTTPError)
        yield url
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize(
    "options",
    [
        ("--worker-class", "sync", "--preload"),
        ("--worker-class", "gthread", "--threads", "4"),
        ("--worker-class", "gevent"),
    ],
    ids=["sync", "gthread", "gevent"],
)
def test_no_addition_is_lost_or_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    """401 additions of one item to one session, 16 in flight, 4 processes."""
    with served(tmp_path, *options) as url, httpx.Client(base_url=url, timeout=30) as client:
        assert client.post("/add").text == "1"
        with ThreadPoolExecutor(16) as browsers:
            answers = browsers.map(lambda _: client.post("/add").status_code, range(400))
            assert Counter(answers) == {200: 400}
        assert client.get("/count").text == "401"


def test_greenlets_wait_while_others_run(tmp_path: Path) -> None:
    """Five greenlets wait for a lock that another greenlet of the process holds."""
    done = subprocess.run(
        [sys.executable, "-c", _LOCK, tmp_path / "sessions.db"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "app")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "held\n", done.stderr
