"""What the load test's browser says of an answer, asked of a real server."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from werkzeug.wrappers import Request, Response

from tests.support.checkout import ROOT
from tests.support.http.serving import served

# In a process of its own: Locust patches all of it.
_TWO_TABS = """
import json, sys
from locust import User
from locust.env import Environment
from loadtest import together
from loadtest.users.browser import Browser
from loadtest.users.findings import Finding, Refused

class Visitor(User):
    host = sys.argv[1]

user = Visitor(Environment())
browser = Browser(user, "id")
browser.ask("GET", "/enter")
found = []

def tab(path):
    try:
        browser.ask("GET", path)
    except Finding as finding:
        found.append([finding.request, finding.served_by, finding.issuer])
    except Refused as refused:
        found.append(refused.status)

together(lambda: tab("/slow"), lambda: tab("/replaced"))
print(json.dumps(found))
"""


@pytest.fixture(name="server")
def _server() -> Iterator[str]:
    """A server whose worker `app-2/2` replaces the session and refuses; its address."""
    replaced = threading.Event()

    @Request.application
    def application(request: Request) -> Response:
        answer = Response("{}", headers={"X-Served-By": "app-1/1"})
        match request.path:
            case "/enter":
                answer.set_cookie("id", "first")
            case "/slow":
                assert replaced.wait(30)
            case "/replaced":
                answer = Response("{}", 409, headers={"X-Served-By": "app-2/2"})
                answer.set_cookie("id", "second")
                answer.call_on_close(replaced.set)
        return answer

    with served(application) as address:
        yield address


def test_the_answer_that_replaced_the_session_is_named(server: str) -> None:
    """A refusal does too; another tab's answer, which set no cookie, is not to blame."""
    ran = subprocess.run(
        [sys.executable, "-c", _TWO_TABS, server],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [["GET /replaced", "app-2/2", "app-1/1"]]
