"""POSTs with an Idempotency-Key: nginx sends them again if the application honours the key."""

import pytest

from tests.stack.nginx.conftest import StartEdge
from tests.stack.nginx.replica import Script
from tests.support.http.client import ask
from tests.support.stacks.nginx import Nginx

_WITH_KEY = {"Idempotency-Key": '"k1"'}


@pytest.fixture(name="idempotent_nginx")
def _idempotent_nginx(start_edge: StartEdge) -> Nginx:
    """A fresh nginx in front of an application that honours keys on two paths."""
    return start_edge(NGINX_IDEMPOTENT_PATHS="/pay|/answer/[0-9]+")


def test_idempotent_post_is_sent_again(idempotent_nginx: Nginx, script: Script) -> None:
    """The second replica gets the same body, key and request id, and its answer is the client's."""
    script.deaths = 1
    answer = ask(idempotent_nginx.port, "POST", "/pay?a=b", b"the body", _WITH_KEY)
    assert answer.status == 200
    first, second = script.requests("/pay?a=b")
    assert first.replica != second.replica
    assert first.body == second.body == b"the body"
    assert first.headers == second.headers
    assert second.headers["idempotency-key"] == '"k1"'
    assert second.headers["x-request-id"] == answer.request_id
    assert idempotent_nginx.logged(answer.request_id)["upstream_status"] == "502, 200"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/pay", {}),
        ("/pay", {"Idempotency-Key": ""}),
        ("/pay/more", _WITH_KEY),
        ("/more/pay", _WITH_KEY),
        ("/x:POST:/pay", _WITH_KEY),
    ],
)
def test_other_posts_are_not_sent_again(
    idempotent_nginx: Nginx, script: Script, path: str, headers: dict[str, str]
) -> None:
    """Without a key or at another path, a POST that was sent is a 502."""
    script.deaths = 1
    assert ask(idempotent_nginx.port, "POST", path, b"{}", headers).status == 502
    assert len(script.requests(path)) == 1


@pytest.mark.parametrize("path", ["/pay", "/", "/x:"])
def test_without_paths_no_post_is_sent_again(
    start_edge: StartEdge, script: Script, path: str
) -> None:
    """If no path is listed, a key changes nothing."""
    script.deaths = 1
    assert ask(start_edge().port, "POST", path, b"{}", _WITH_KEY).status == 502
    assert len(script.requests(path)) == 1


def test_deadly_post_is_sent_two_times_at_most(idempotent_nginx: Nginx, script: Script) -> None:
    """A POST that kills both replicas is a 502, in the form of every error of nginx."""
    script.deaths = 2
    answer = ask(idempotent_nginx.port, "POST", "/pay", b"{}", _WITH_KEY)
    assert (answer.status, answer.media_type) == (502, "application/problem+json")
    assert answer.json()["request_id"] == answer.request_id
    assert answer.headers["Retry-After"] == "1"
    assert len(script.requests("/pay")) == 2


@pytest.mark.parametrize("status", [200, 409, 418, 422, 500, 503])
def test_answer_of_the_application_is_final(
    idempotent_nginx: Nginx, script: Script, status: int
) -> None:
    """Nginx sends a POST again only if there was no answer."""
    path = f"/answer/{status}"
    answer = ask(idempotent_nginx.port, "POST", path, b"{}", _WITH_KEY)
    assert (answer.status, answer.json()["title"]) == (status, "the application's own words")
    assert len(script.requests(path)) == 1


def test_body_limit_holds_for_idempotent_posts(idempotent_nginx: Nginx, script: Script) -> None:
    """A body over the limit is refused, with or without a key."""
    answer = ask(idempotent_nginx.port, "POST", "/pay", b"x" * 65_537, _WITH_KEY)
    assert (answer.status, answer.media_type) == (413, "application/problem+json")
    assert script.requests("/pay") == []
