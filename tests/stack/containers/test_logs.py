"""docs/logs.md, carried out with containers: find a request's lines, and ship them to a file."""

import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.containers.standalone import Project
from tests.stack.local import test_logs
from tests.support.http.client import ask
from tests.support.pages import blocks
from tests.support.stacks.containers import require_engine
from tests.support.waiting import wait_until

# Collected here, with this folder's stacks.
globals().update(
    {
        name: getattr(test_logs, name)
        for name in (
            "stack_that_fails",
            "test_lines_of_a_store_that_does_not_answer",
            "test_lines_of_a_request_that_no_worker_got",
        )
    }
)

_RAISES = "answer = lambda environ, text: text if environ['PATH_INFO'] == '/' else 1 // 0"


@pytest.fixture(name="project")
def _project(checkout: Path, tmp_path: Path) -> Iterator[Project]:
    """An application without a framework, whose paths other than / raise."""
    require_engine()
    project = Project(tmp_path, checkout)
    try:
        project.write("0", _RAISES)
        status, printed = project.deploy()
        assert status == 0, printed
        yield project
    finally:
        project.dispose()


def _deploy(project: Project) -> Path:
    return project.folder / "blog" / "deploy"


def test_lines_of_an_application_that_raises(project: Project) -> None:
    """500: nginx' line and Gunicorn's trace have the id of the answer, and of no other one."""
    _, command = blocks("Find a failed request", "sh", page=test_logs.PAGE)
    other, answer = ask(project.port, "GET", "/other"), ask(project.port, "GET", "/fails")
    assert (other.status, answer.status) == (500, 500)

    def found() -> list[str]:
        done = subprocess.run(
            ["sh", "-c", command.text.replace(" ID", f" {answer.request_id}")],
            cwd=_deploy(project),
            env=project.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = done.stdout.splitlines()
        return lines if len(lines) > 1 else []

    lines = [line.removeprefix(test_logs.CLEAR) for line in wait_until(found, "two lines")]
    nginx, gunicorn = sorted(map(json.loads, lines), key=len, reverse=True)
    assert (nginx["status"], nginx["request"]) == (500, "GET /fails HTTP/1.1")
    assert gunicorn["message"] == "Error handling request GET /fails"
    assert gunicorn["exception"].rstrip().endswith(f"request_id: {answer.request_id}")
    assert "ZeroDivisionError" in gunicorn["exception"]


def test_plain_file_has_every_request(project: Project, tmp_path: Path) -> None:
    """The file has each request's lines once, across a deployment, a rotation and a restart."""
    (script,) = blocks("A plain file", "sh", page=test_logs.PAGE)
    (_deploy(project) / "logs.sh").write_text(script.text)
    file = tmp_path / "blog.log"
    ids: list[str] = []

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["sh", "logs.sh", file],
            cwd=_deploy(project),
            env=project.environ,
            start_new_session=True,
        )

    def visit() -> None:
        ids.extend(ask(project.port, "GET", "/").request_id for _ in range(4))
        wait_until(lambda: _ids(tmp_path)[ids[-1]] >= 2, "the last request's lines")

    follower = start()
    try:
        visit()
        project.release("1")
        visit()
        # As logrotate does with `copytruncate`.
        (tmp_path / "blog.log.1").write_bytes(file.read_bytes())
        os.truncate(file, 0)
        visit()
        assert file.read_bytes()[:1] != b"\0"
    finally:
        os.killpg(follower.pid, 15)
        follower.wait()
    # nginx' and Gunicorn's.
    assert {each: _ids(tmp_path)[each] for each in ids} == dict.fromkeys(ids, 2)
    ids.append(ask(project.port, "GET", "/").request_id)
    follower = start()
    try:
        visit()
    finally:
        os.killpg(follower.pid, 15)
        follower.wait()
    # What was logged while nothing followed came later.
    assert all(_ids(tmp_path)[each] >= 2 for each in ids)


def _ids(folder: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for path in folder.glob("blog.log*"):
        for line in path.read_text().splitlines():
            found.update(re.findall(r'^\{.*"request_id": ?"(\w+)"', line))
    return found
