"""How bodies are read: strictly, and each fault has one status."""

import io

import pytest
from flask.testing import FlaskClient

from tests.shop.unit.expect import expect_no_session, expect_problem, quantities

_ADD = "/api/cart/items"
_GOOD = b'{"sku":"tea","qty":1}'


@pytest.mark.parametrize("method_path", ["POST /api/cart/items", "PUT /api/cart/items/tea"])
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "application/ld+json",
    ],
)
def test_other_content_types(
    browser: FlaskClient, method_path: str, content_type: str | None
) -> None:
    """A body that is not called application/json is a 415, which says what is taken."""
    method, path = method_path.split()
    response = browser.open(path, method=method, data=_GOOD, content_type=content_type)
    expect_problem(response, 415)
    assert response.headers["Accept"] == "application/json"
    expect_no_session(response)


def test_no_body_at_all(browser: FlaskClient) -> None:
    """A request without body and content type is a 415, with an empty JSON body a 400."""
    expect_problem(browser.post(_ADD), 415)
    expect_problem(browser.post(_ADD, content_type="application/json"), 400)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON"],
)
def test_json_by_its_names(browser: FlaskClient, content_type: str) -> None:
    """Parameters and letter case of the content type do not matter."""
    assert quantities(browser.post(_ADD, data=_GOOD, content_type=content_type)) == {"tea": 1}


def test_encoded_bodies(browser: FlaskClient) -> None:
    """A compressed body is a 415, which says that none is taken."""
    headers = {"Content-Encoding": "gzip"}
    response = browser.post(_ADD, data=_GOOD, content_type="application/json", headers=headers)
    expect_problem(response, 415)
    assert response.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"sku=tea",
        b"[]",
        b'["tea"]',
        b'"tea"',
        b"1",
        b"null",
        b"true",
        _GOOD + b"x",
        b"\xff\xfe",
        b'{"sku":"\xe9"}',
        b"\xef\xbb\xbf" + _GOOD,
        _GOOD.decode().encode("utf-16"),
        b'{"sku":"tea","qty":NaN}',
        b'{"sku":"tea","qty":Infinity}',
        b'{"sku":"tea","qty":1,"qty":50}',
        b'{"sku":"tea","qty":' + b"9" * 5000 + b"}",
        b"[" * 60_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_bodies_that_are_no_json_object(browser: FlaskClient, body: bytes) -> None:
    """What is not one JSON object in UTF-8, without doubtful parts, is a 400."""
    response = browser.post(_ADD, data=body, content_type="application/json")
    expect_problem(response, 400)
    expect_no_session(response)


@pytest.mark.parametrize("path", [_ADD, "/api/cart", "/cart/add", "/livez", "/none"])
def test_bodies_over_the_limit(browser: FlaskClient, path: str) -> None:
    """A body over 64 KiB is a 413, whatever the path makes of it."""
    response = browser.post(path, data=b" " * 65_537, content_type="application/json")
    expect_problem(response, 413)
    expect_no_session(response)


@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 413), (1_000_000, 413)])
def test_bodies_without_a_length(browser: FlaskClient, size: int, status: int) -> None:
    """A body whose length is not announced is a 413 once it passes the limit."""
    chunked = {
        "wsgi.input": io.BytesIO(b'{"sku":"tea"}'.ljust(size)),
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
    }
    response = browser.post(_ADD, content_type="application/json", environ_overrides=chunked)
    assert response.status_code == status


def test_the_largest_body(browser: FlaskClient) -> None:
    """A body of exactly 64 KiB is read."""
    body = b'{"sku":"tea"}'.ljust(65_536)
    response = browser.post(_ADD, data=body, content_type="application/json")
    assert quantities(response) == {"tea": 1}


def test_the_first_fault_answers(browser: FlaskClient) -> None:
    """Of several faults the outermost decides: 415, then 400, then 422, then 404."""
    expect_problem(browser.put("/api/cart/items/glue", data=b"{", content_type="text/plain"), 415)
    put = "/api/cart/items/glue"
    expect_problem(browser.put(put, data=b"{", content_type="application/json"), 400)
    expect_problem(browser.put(put, json={"qty": -1}), 422)
    expect_problem(browser.put(put, json={"qty": 1}), 404)
