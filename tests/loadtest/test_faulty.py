"""A target of which every tenth answer is an error: what gate, report and CI get to see."""

import html
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import psutil
import pytest
from werkzeug.wrappers import Request, Response

from tests.conftest import StartStack
from tests.support.http.serving import served
from tests.support.stacks.loadtests import Ran, read, run, settings_of
from tests.support.stacks.local import Stack
from tests.support.waiting import wait_until

_SCENARIO = """
from loadtest import Journey

class Visitor(Journey):
    def visit(self):
        self.get("/?token=s3cr3t-query", name="/")
        self.think()
"""
_LOGIN = """\
        self.post("/login", headers={"X-CSRF-Token": "s3cr3t-csrf"},
                  json={"username": "bob", "password": "s3cr3t-password"})
"""


@pytest.fixture(name="nothing", scope="module")
def _nothing(new_stack: StartStack) -> Stack:
    """A state folder in which nothing runs."""
    return new_stack()


@pytest.fixture(name="faulty", scope="module")
def _faulty() -> Iterator[str]:
    """The address of the target."""
    count, lock = itertools.count(1), threading.Lock()

    @Request.application
    def application(request: Request) -> Response:
        if request.path == "/dropped":
            request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        with lock:
            is_bad = next(count) % 10 == 0
        answer = Response("{}", 200, headers={"X-Served-By": "app-1/7", "X-Request-ID": "f00"})
        if is_bad:
            # As a page for developers shows what came in.
            headers = "".join(f"{name}: {value}\n" for name, value in request.headers.items())
            answer = Response(f"\x1b[31m{request.url}\n{headers}\n", 500, dict(answer.headers))
            answer.set_data(answer.get_data() + request.get_data() + b"\n" + b"x" * 9_000)
        answer.set_cookie("sid", "s3cr3t-sid", httponly=True)
        return answer

    with served(application) as address:
        yield address


@pytest.fixture(name="settings")
def _settings(faulty: str, tmp_path: Path) -> dict[str, str]:
    """A scenario that asks the target, and limits to be written into `slo.toml`."""
    scenario, slo = tmp_path / "mine.py", tmp_path / "slo.toml"
    scenario.write_text(_SCENARIO)
    slo.write_text("[default]\nbalance = 100\n[default.requests.'*']\nerrors = 0.1\n")
    return {"HOST": faulty, "SCENARIO": str(scenario), "SLO": str(slo)}


def test_a_share_at_its_limit_is_undecided(nothing: Stack, settings: dict[str, str]) -> None:
    """One in ten fails, one in ten may: exit 3, and the result has the interval."""
    ran = run(nothing, **settings)
    assert ran.exit_code == 3, ran.printed
    assert ran.verdict.startswith("VERDICT undecided: errors of GET / ")
    assert ran.verdict.endswith("limit 10.00%: run longer")
    (judged,) = [each for each in ran.document["verdict"]["judged"] if each["unit"] == "share"]
    low, high = judged["interval"]
    assert low <= judged["limit"] < high
    assert "The run was too short to tell." in (ran.folder / "report.html").read_text()


def test_a_ci_gets_files_that_it_can_show(
    nothing: Stack, settings: dict[str, str], tmp_path: Path
) -> None:
    """`junit.xml` and `summary.md` in the run's folder, and the page of a CI that names one."""
    page = tmp_path / "page.md"
    ran = run(nothing, **settings, GITHUB_STEP_SUMMARY=str(page))
    suite = ET.XML((ran.folder / "junit.xml").read_text()).find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")
    text = (ran.folder / "summary.md").read_text()
    assert text.startswith("## Load test: undecided\n")
    assert page.read_text() == text


def test_ctrl_c_does_not_interrupt_the_reports(
    nothing: Stack, settings: dict[str, str], tmp_path: Path
) -> None:
    """They end, and so does the verdict: who ends a run may press Ctrl-C twice."""
    page = tmp_path / "page.md"
    # Nobody reads it yet, so that the report waits.
    os.mkfifo(page)
    folders = nothing.state_dir / "loadtest"
    before = set(folders.glob("*"))
    given = settings_of(**settings, GITHUB_STEP_SUMMARY=str(page))
    process = nothing.start_verb("loadtest", **given)

    def is_waiting() -> bool:
        return any((new / "summary.md").exists() for new in set(folders.glob("*")) - before)

    try:
        wait_until(is_waiting, "the summary is written")
        for child in psutil.Process(process.pid).children(recursive=True):
            if child.cmdline()[1:] == ["-m", "loadtest"]:
                child.send_signal(signal.SIGINT)
        # In a process of its own, which ends if nobody writes.
        written = subprocess.run(["cat", page], capture_output=True, check=True, timeout=30).stdout
        printed, _ = process.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    ran = read(nothing, process.returncode, printed)
    assert ran.verdict.startswith("VERDICT undecided: "), printed
    assert written == (ran.folder / "summary.md").read_bytes()


def test_a_run_that_cannot_pass_stops_early(nothing: Stack, settings: dict[str, str]) -> None:
    """No error is allowed, and one has happened: the verdict is there before the time is over."""
    Path(settings["SLO"]).write_text("[default]\n[default.requests.'*']\nerrors = 0\n")
    ran = run(nothing, **settings, DURATION="300s", STOP="early")
    assert ran.exit_code == 1
    assert ran.document["seconds"] < 200
    assert "of 300 s: it could not pass any more" in ran.printed


def test_the_first_failing_exchange_is_shown(nothing: Stack, settings: dict[str, str]) -> None:
    """In full, on the terminal and in the report, and without a secret anywhere in the folder."""
    Path(settings["SCENARIO"]).write_text(_SCENARIO + _LOGIN)
    ran = run(nothing, **settings)
    exchange, kept = ran.document["exchange"], _kept(ran)
    assert kept[0] == exchange
    assert exchange["why"] == "status 500"
    assert (exchange["served_by"], exchange["request_id"]) == ("app-1/7", "f00")
    (login,) = [each for each in kept if each["name"] == "POST /login"]
    assert login["request"].startswith("POST /login HTTP/1.1\nHost: 127.0.0.1:")
    assert login["request"].endswith('\n\n{"username": "bob", "password": "***"}')
    assert "\nX-CSRF-Token: ***\n" in login["request"]
    assert re.search(r"^Idempotency-Key: [0-9a-f-]{36}$", login["request"], re.MULTILINE)
    assert "\nCookie: sid=***\n" in login["request"]
    assert login["answer"].startswith("HTTP/1.1 500 Internal Server Error\n")
    assert "\nSet-Cookie: sid=***; HttpOnly; Path=/\n" in login["answer"]
    assert re.search(r"\(and [\d,]+ characters more\)$", login["answer"])
    page = html.unescape((ran.folder / "report.html").read_text())
    for line in exchange["answer"].splitlines()[:4]:
        assert line in ran.printed
        assert line in page
    assert "\x1b" not in ran.printed
    assert "s3cr3t" not in ran.printed
    for path in ran.folder.iterdir():
        assert "s3cr3t" not in path.read_text(), path


def test_the_exchange_of_a_finding_is_kept(nothing: Stack, settings: dict[str, str]) -> None:
    """It is the answer that shows what is wrong, whatever its status."""
    finding = "        self.check(False, 'lost update', 'a cart lacks tea')\n"
    Path(settings["SCENARIO"]).write_text(_SCENARIO + _LOGIN + finding)
    ran = run(nothing, **settings)
    (found,) = [each for each in _kept(ran) if each["why"] == "lost update: a cart lacks tea"]
    assert found["name"] == "POST /login"
    assert found["answer"].startswith("HTTP/1.1 200 OK\n")


def test_no_password_of_an_account_is_shown(nothing: Stack, settings: dict[str, str]) -> None:
    """A finding may quote it, and a target may answer with it, under no name that tells."""
    finding = "        self.check(False, 'wrong answer', 'hello bob s3cr3t-known')\n"
    Path(settings["SCENARIO"]).write_text(_SCENARIO + finding)
    ran = run(nothing, **settings, ACCOUNTS="bob:s3cr3t-known")
    assert ran.document["found"][0]["detail"] == "hello bob ***"
    assert "hello bob ***" in ran.printed
    assert "s3cr3t" not in ran.printed
    for path in ran.folder.iterdir():
        assert "s3cr3t" not in path.read_text(), path


@pytest.mark.parametrize("client", ["HttpUser", "FastHttpUser"])
def test_the_exchange_of_a_plain_locust_user_is_kept(
    nothing: Stack, settings: dict[str, str], client: str
) -> None:
    """Whichever client it has, and also if no answer came."""
    Path(settings["SCENARIO"]).write_text(
        f"from locust import {client}, task\n\n"
        f"class Plain({client}):\n"
        "    @task\n"
        "    def visit(self):\n"
        "        self.client.post('/login?token=s3cr3t-query', {'password': 's3cr3t-password'},\n"
        "                         headers={'Cookie': 'sid=s3cr3t-cookie'}, name='/login')\n"
        "        self.client.get('/dropped')\n"
    )
    ran = run(nothing, **settings)
    kept = _kept(ran)
    (login,) = [each for each in kept if each["name"] == "POST /login"]
    assert login["request"].startswith("POST /login?token=*** HTTP/1.1\n")
    assert login["request"].endswith("\n\npassword=***")
    assert login["answer"].startswith("HTTP/1.1 500 Internal Server Error\n")
    (dropped,) = [each for each in kept if each["name"] == "GET /dropped"]
    assert dropped["answer"].startswith("no answer: ")
    for name in ("report.html", "requests.csv", "run.json", "exchanges.jsonl", "summary.md"):
        assert "s3cr3t" not in (ran.folder / name).read_text(), name
    assert "s3cr3t" not in ran.printed


def _kept(ran: Ran) -> list[dict[str, Any]]:
    lines = (ran.folder / "exchanges.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
