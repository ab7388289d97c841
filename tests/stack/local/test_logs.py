"""docs/logs.md, carried out: a failed request's lines are found by its id, and logs rotate.

`tests/stack/containers/test_logs.py` collects some of it again, with stacks of containers.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import StartStack
from tests.support.checkout import ROOT
from tests.support.http.client import Client, ask
from tests.support.http.wire import Answer
from tests.support.pages import blocks
from tests.support.stacks.containers import ContainerStack
from tests.support.stacks.local import Stack
from tests.support.waiting import wait_until

PAGE = ROOT / "docs" / "logs.md"
CLEAR = "\x1b[2K"
"""What Compose 2.26 puts before each line, also if no terminal reads them."""
_HTML = {"Accept": "text/html"}
_ID = re.compile(r"[0-9a-f]{32}")


def _printed(stack: Stack, text: str) -> str:
    done = subprocess.run(
        ["sh", "-c", text], cwd=stack.state_dir, capture_output=True, text=True, check=False
    )
    # grep ends with 1 if it finds nothing.
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout


def _found(stack: Stack, request_id: str) -> list[dict[str, Any]]:
    """Return the lines that the page's command finds."""
    local, containers = (block.text for block in blocks("Find a failed request", "sh", page=PAGE))
    command = local.replace(".state", str(stack.state_dir))
    if isinstance(stack, ContainerStack):
        command = containers.replace(" logs ", f" --project-name {stack.project} logs ")
    assert command.count(" ID") == 1
    lines = _printed(stack, command.replace(" ID", f" {request_id}")).splitlines()
    return [json.loads(line.removeprefix(CLEAR)) for line in lines]


def _kind(entry: dict[str, Any]) -> str:
    return "nginx" if "upstream" in entry else str(entry["log"])


def assert_found(stack: Stack, answer: Answer, *kinds: str) -> list[dict[str, Any]]:
    """Expect one line of each kind for an answer, and no line of another request."""
    shown = _ID.findall(answer.text)
    assert set(shown) == {answer.request_id}, answer.text

    def lines() -> list[dict[str, Any]] | None:
        found = _found(stack, answer.request_id)
        return found if len(found) >= len(kinds) else None

    found = wait_until(lines, f"lines of {kinds}")
    assert sorted(map(_kind, found)) == sorted(kinds), found
    assert {entry["request_id"] for entry in found} == {answer.request_id}
    assert {entry["status"] for entry in found if "status" in entry} == {answer.status}
    return found


@pytest.fixture(name="failing", scope="module")
def stack_that_fails(new_stack: StartStack) -> Iterator[Stack]:
    """A stack whose replicas a test may stop for good."""
    stack = new_stack(REPLICAS="2", WORKERS="1", REQUEST_SECONDS="5")
    stack.up()
    yield stack
    error = stack.dispose()
    assert not error, error


@contextmanager
def _failing_store(stack: Stack) -> Iterator[Client]:
    with stack.store_paused(), stack.browser() as visitor:
        yield visitor
    wait_until(stack.is_ready_throughout, "every worker is ready again", 40)


def test_lines_of_a_store_that_does_not_answer(failing: Stack) -> None:
    """503: document and page show the id, by which nginx', Gunicorn's and the shop's lines are."""
    with _failing_store(failing) as visitor:
        document = visitor.post("/api/login", username="ada", password="ada")
        form = {"Content-Type": "application/x-www-form-urlencoded", **_HTML}
        page = visitor.ask("POST", "/login", b"username=ada&password=ada", form)
    assert (document.media_type, page.media_type) == ("application/problem+json", "text/html")
    for answer in (document, page):
        assert answer.status == 503
        found = assert_found(failing, answer, "nginx", "access", "shop.http.problems")
        # One worker: the three name the same.
        assert len({entry["served_by"] for entry in found}) == 1
    assert document.json()["request_id"] == document.request_id


def test_lines_of_a_request_that_no_worker_got(failing: Stack) -> None:
    """502 or 504: nginx' line, and by its connection the reason in nginx' error log."""
    for replica in failing.replicas():
        failing.stop_service(replica)
    document = ask(failing.port, "GET", "/api/cart")
    page = ask(failing.port, "GET", "/cart", headers=_HTML)
    assert (document.media_type, page.media_type) == ("application/problem+json", "text/html")
    assert document.json()["request_id"] == document.request_id
    for answer in (document, page):
        # 504: what stopped a moment ago is still in the engine's list of addresses.
        assert answer.status in {502, 504}
        (line,) = assert_found(failing, answer, "nginx")
        assert line["served_by"] == ""
        # As docs/operations.md says: none of the tries came to a connection.
        assert set(re.split("[ ,:]+", line["upstream_connect_time"])) == {"-"}
        if not isinstance(failing, ContainerStack):
            reasons = _printed(failing, rf"grep -h '\*{line['connection']} ' log/nginx.log*")
            assert "connect() to unix:" in reasons


@pytest.fixture(name="full", scope="module")
def _full(new_stack: StartStack) -> Iterator[tuple[Stack, Answer]]:
    """A stack after 24 MB of lines, and an answer from before the last ten."""
    stack = new_stack(REPLICAS="1", WORKERS="1")
    stack.up()
    padding, agent = "x" * 7900, {"User-Agent": "y" * 7900}
    found = None
    with Client(stack.port, keep_alive=True) as visitor:
        # nginx answers these itself.
        for number in range(1500):
            answer = visitor.ask("TRACE", f"/?{padding}", headers=agent)
            found = answer if number == 800 else found
    assert found
    yield stack, found
    assert not stack.dispose()


def test_logs_rotate(full: tuple[Stack, Answer]) -> None:
    """The log of nginx has a file and two former ones of 10 MiB, which are searched, too."""
    stack, answer = full
    sizes = {path.name: path.stat().st_size for path in stack.folder.log.glob("nginx.access.log*")}
    assert sizes.keys() == {f"nginx.access.log{end}" for end in ("", ".1", ".2")}
    # supervisord looks at the size after it has written what it got, a pipe's content at most.
    assert max(sizes.values()) < 10 * 2**20 + 2**17
    # It is in a former file by now.
    (line,) = _found(stack, answer.request_id)
    assert line["status"] == answer.status == 405
    name = _printed(stack, f"grep -l {answer.request_id} log/*").strip()
    assert name in {"log/nginx.access.log.1", "log/nginx.access.log.2"}


def test_logs_are_erased_while_the_stack_serves(full: tuple[Stack, Answer]) -> None:
    """After the command of docs/data.md no line is left, and the next ones are found."""
    stack, answer = full
    (command,) = blocks("In the logs", "sh", page=ROOT / "docs" / "data.md")
    _printed(stack, command.text.replace(".state", str(stack.state_dir)))
    wait_until((stack.folder.log / "nginx.access.log").exists, "supervisord made new files")
    assert _found(stack, answer.request_id) == []
    assert [*stack.folder.log.glob("*.log.*")] == []
    later = ask(stack.port, "GET", "/api/none")
    assert_found(stack, later, "nginx", "access")


def test_every_service_rotates(full: tuple[Stack, Answer]) -> None:
    """Every log that supervisord writes has a largest size, and two former files at most."""
    stack, _ = full
    text = (stack.folder.run / "supervisord.conf").read_text()
    logs = re.findall(r"^(\w*logfile)=", text, re.MULTILINE)
    assert len(logs) > 5
    for section in re.split(r"^(?=\[)", text, flags=re.MULTILINE):
        for log in re.findall(r"^(\w*logfile)=", section, re.MULTILINE):
            assert re.search(rf"^{log}_maxbytes=(5|10)MB$", section, re.MULTILINE), section
            assert re.search(rf"^{log}_backups=2$", section, re.MULTILINE), section
