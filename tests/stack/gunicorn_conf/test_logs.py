"""The logs: JSON, one object a line, whatever clients send."""

import json
import os
import re
from datetime import datetime
from typing import Any

import pytest

from tests.stack.gunicorn_conf.conftest import NewServer
from tests.support.waiting import wait_until

_ID = "0123456789abcdef0123456789abcdef"


def test_access_log_entry(new_server: NewServer) -> None:
    """Each request is one entry: who asked what, the answer, its time and which worker made it."""
    server = new_server("--max-requests=0").start()
    answer = server.get("/some?q=1", "User-Agent: curl", f"X-Request-ID: {_ID}")
    wait_until(lambda: "/some?q=1" in [each["uri"] for each in server.accesses()], "the entry")
    [entry] = [each for each in server.accesses() if each["uri"] == "/some?q=1"]
    assert datetime.fromisoformat(entry.pop("time")).tzinfo is not None
    assert 0 <= entry.pop("duration_ms") < 1000
    assert entry == {
        "log": "access",
        "request_id": _ID,
        "remote_addr": "",
        "method": "GET",
        "uri": "/some?q=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": len(answer.body),
        "user_agent": "curl",
        "referer": None,
        "served_by": f"app-1/{answer.body.decode()}",
    }


def test_clients_cannot_forge_log_entries(new_server: NewServer) -> None:
    """Quotes, backslashes and bytes of other encodings in a header stay within its field."""
    server = new_server().start()
    forged = 'x", "status": 500, "y": "\\\xff\x85'
    server.get("/forged", f"User-Agent: {forged}")

    def forged_entries() -> list[dict[str, Any]]:
        return [each for each in server.accesses() if each.get("uri") == "/forged"]

    wait_until(forged_entries, "the entry")
    assert [(entry["status"], entry["user_agent"]) for entry in forged_entries()] == [(200, forged)]


@pytest.mark.parametrize(("path", "status"), [("/\xe9", 400), ("/ x", 400), ("/fail", 500)])
def test_gunicorns_own_errors_are_problem_documents(
    new_server: NewServer, path: str, status: int
) -> None:
    """What Gunicorn answers itself is no HTML page, and repeats nothing of the request."""
    answer = new_server().start().get(path)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(answer.body)["status"] == status
    assert path[1:].encode() not in answer.body.replace(b"failed", b"")


def test_error_log_is_json_with_the_traceback(new_server: NewServer) -> None:
    """A failing application is one entry with its trace, and every other line is JSON, too."""
    server = new_server().start()
    assert server.get("/fail", f"X-Request-ID: {_ID}").status == 500
    failures = [line for line in server.errors() if "exception" in line]
    assert [line["message"] for line in failures] == ["Error handling request GET /fail"]
    # The entry is found by the request's id.
    assert failures[0]["exception"].endswith(f"RuntimeError: as asked\nrequest_id: {_ID}")
    assert re.fullmatch(r"app-1/\d+", failures[0]["served_by"])
    assert failures[0]["level"] == "error"
    assert not [line for line in server.errors() if "text" in line]


def test_replica_name_defaults_to_the_host(new_server: NewServer) -> None:
    """Without REPLICA the log names the host."""
    server = new_server(REPLICA="").start()
    assert server.errors()[0]["served_by"].rpartition("/")[0] == os.uname().nodename
