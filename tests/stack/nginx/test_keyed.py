"""POSTs with an Idempotency-Key: sent to a second replica where the application honours it."""

import pytest

from tests.stack.nginx.conftest import StartEdge
from tests.stack.nginx.replica import Script
from tests.support.client import ask
from tests.support.nginx import Nginx

_KEYED = {"Idempotency-Key": '"k1"'}


@pytest.fixture(name="keyed_edge")
def _keyed_edge(start_edge: StartEdge) -> Nginx:
    """An nginx that has seen no replica die, before an application that honours keys."""
    return start_edge(NGINX_KEYED_PATHS="/keyed|/answer/[0-9]+")


def test_a_keyed_post_is_sent_again(keyed_edge: Nginx, script: Script) -> None:
    """The second replica gets the same body, key and request id, and its answer is the client's."""
    script.deaths = 1
    answer = ask(keyed_edge.port, "POST", "/keyed?a=b", b"the body", _KEYED)
    assert answer.status == 200
    first, second = script.requests("/keyed?a=b")
    assert first.replica != second.replica
    assert first.body == second.body == b"the body"
    assert first.headers == second.headers
    assert second.headers["idempotency-key"] == '"k1"'
    assert second.headers["x-request-id"] == answer.request_id
    assert keyed_edge.logged(answer.request_id)["upstream_status"] == "502, 200"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/keyed", {}),
        ("/keyed", {"Idempotency-Key": ""}),
        ("/keyed/more", _KEYED),
        ("/more/keyed", _KEYED),
        ("/x:POST:/keyed", _KEYED),
    ],
)
def test_others_are_not(
    keyed_edge: Nginx, script: Script, path: str, headers: dict[str, str]
) -> None:
    """Without a key or at another path, a POST that was sent is a 502."""
    script.deaths = 1
    assert ask(keyed_edge.port, "POST", path, b"{}", headers).status == 502
    assert len(script.requests(path)) == 1


@pytest.mark.parametrize("path", ["/keyed", "/", "/x:"])
def test_nobody_asked_for_it(start_edge: StartEdge, script: Script, path: str) -> None:
    """Where no path is listed a key changes nothing."""
    script.deaths = 1
    assert ask(start_edge().port, "POST", path, b"{}", _KEYED).status == 502
    assert len(script.requests(path)) == 1


def test_a_deadly_keyed_post(keyed_edge: Nginx, script: Script) -> None:
    """One that kills both replicas is a 502, told as every error of nginx."""
    script.deaths = 2
    answer = ask(keyed_edge.port, "POST", "/keyed", b"{}", _KEYED)
    assert (answer.status, answer.media_type) == (502, "application/problem+json")
    assert answer.json()["request_id"] == answer.request_id
    assert answer.headers["Retry-After"] == "1"
    assert len(script.requests("/keyed")) == 2


@pytest.mark.parametrize("status", [200, 409, 418, 422, 500, 503])
def test_answers_are_final(keyed_edge: Nginx, script: Script, status: int) -> None:
    """What the application answers to a keyed POST is the answer, sent once."""
    path = f"/answer/{status}"
    answer = ask(keyed_edge.port, "POST", path, b"{}", _KEYED)
    assert (answer.status, answer.json()["title"]) == (status, "the application's own words")
    assert len(script.requests(path)) == 1


def test_limits_hold(keyed_edge: Nginx, script: Script) -> None:
    """A keyed body over the limit is refused as any other."""
    answer = ask(keyed_edge.port, "POST", "/keyed", b"x" * 65_537, _KEYED)
    assert (answer.status, answer.media_type) == (413, "application/problem+json")
    assert script.requests("/keyed") == []
