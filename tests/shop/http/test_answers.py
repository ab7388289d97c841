"""What every answer carries, and one status per case."""

import re

import pytest

from tests.shop.expect import assert_problem
from tests.shop.http.places import Place
from tests.shop.http.rows import Case, cases
from tests.support.shop.client import ShopClient

_PATHS = ("/", "/cart", "/api/products", "/api/cart", "/livez", "/none", "/static/shop.css")


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_case(place: Place, client: ShopClient, case: Case) -> None:
    """A row of the last table of docs/http-api.md: one request, one status."""
    before = place.sessions()
    headers = {name: value.format(origin=place.origin) for name, value in case.headers.items()}
    answer = client.ask(case.method, case.path, case.body or None, headers)
    if case.status == 200:
        assert answer.status == 200, answer.text
        return
    assert_problem(answer, case.status)
    assert place.sessions() <= before
    if case.status == 422:
        errors = answer.json()["errors"]
        assert {error["field"] for error in errors} == case.says
        assert all(error["detail"] for error in errors)
    if case.status == 405:
        assert set(answer.headers["Allow"].replace(" ", "").split(",")) == case.says


@pytest.mark.parametrize("path", _PATHS)
def test_answer_request_id(client: ShopClient, path: str) -> None:
    """Every answer has one id, another one each time, and none that the client chose."""
    first, second = (client.get(path) for _ in range(2))
    for answer in (first, second):
        (given,) = answer.headers.get_all("X-Request-ID", [])
        assert re.fullmatch(r"[0-9a-f]{32}", given)
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]


@pytest.mark.parametrize("path", _PATHS)
def test_answer_served_by(client: ShopClient, path: str) -> None:
    """Every answer names the worker that made it."""
    (worker,) = client.get(path).headers.get_all("X-Served-By", [])
    assert re.fullmatch(r"[\w.-]+/\d+", worker)


@pytest.mark.parametrize("path", _PATHS)
def test_answer_security_headers(client: ShopClient, path: str) -> None:
    """No other site may frame an answer, guess its type or learn our paths."""
    headers = client.get(path).headers
    # `Vary` is a list: nginx adds a line of its own for compressed answers.
    names = [name.lower() for name in headers if name.lower() != "vary"]
    assert len(names) == len(set(names))
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_answer_head(client: ShopClient) -> None:
    """HEAD answers what GET does, without the body."""
    got, headed = client.get("/api/products"), client.ask("HEAD", "/api/products")
    assert (headed.status, headed.body) == (200, b"")
    assert headed.headers["Content-Length"] == str(len(got.body))


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_answer_health(client: ShopClient, path: str) -> None:
    """Liveness and readiness answer ok, and touch no session, not even its owner's."""
    client.session()
    answer = client.get(path)
    assert (answer.status, answer.json()) == (200, {"status": "ok"})
    assert "Set-Cookie" not in answer.headers
    assert "cookie" not in answer.headers.get("Vary", "").lower()
