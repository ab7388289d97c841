"""The HTTP contract of the shop, through nginx."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.client import ask
from tests.support.stack import Stack
from tests.support.wire import Answer, exchange

_JSON = {"Content-Type": "application/json"}
_EMPTY_CART = {"items": [], "count": 0, "total_cents": 0}


def _assert_problem(answer: Answer, status: int) -> None:
    assert answer.status == status, answer
    assert answer.media_type == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert {"type", "title", "detail"} <= problem.keys()
    assert problem["request_id"] == answer.request_id
    assert re.fullmatch(r"[0-9a-f]{32}", answer.request_id)


def test_the_catalog(stack: Stack) -> None:
    """The catalog lists at least eight products with prices in whole cents."""
    answer = ask(stack.port, "GET", "/api/products")
    assert (answer.status, answer.media_type) == (200, "application/json")
    products = answer.json()
    assert len(products) >= 8
    assert len({product["sku"] for product in products}) == len(products)
    for product in products:
        assert product.keys() == {"sku", "name", "price_cents", "description"}
        assert type(product["price_cents"]) is int
        assert product["price_cents"] > 0


def test_an_empty_cart(stack: Stack) -> None:
    """Without a session the cart is empty."""
    answer = ask(stack.port, "GET", "/api/cart")
    assert (answer.status, answer.json()) == (200, _EMPTY_CART)


def test_a_cart_adds_up(stack: Stack) -> None:
    """Added lines come back by sku, with the catalog's names and prices, and a right total."""
    catalog = {p["sku"]: p for p in ask(stack.port, "GET", "/api/products").json()}
    first, second, third = sorted(catalog)[:3]
    browser = stack.browser()
    browser.add(third, 3)
    browser.add(first, 1)
    added = browser.add(second, 2)
    expected = {
        "items": [
            {
                "sku": sku,
                "name": catalog[sku]["name"],
                "qty": qty,
                "price_cents": catalog[sku]["price_cents"],
            }
            for sku, qty in ((first, 1), (second, 2), (third, 3))
        ],
        "count": 6,
        "total_cents": sum(
            catalog[sku]["price_cents"] * qty for sku, qty in ((first, 1), (second, 2), (third, 3))
        ),
    }
    assert (added.status, added.json()) == (200, expected)
    assert browser.ask("GET", "/api/cart").json() == expected


def test_adding_counts_up_to_99(stack: Stack) -> None:
    """An add without qty adds one; a line that would pass 99 is a 409 and stays as it was."""
    browser = stack.browser()
    assert browser.send("POST", "/api/cart/items", {"sku": "tea"}).json()["count"] == 1
    assert browser.add("tea", 98).json()["count"] == 99
    _assert_problem(browser.add("tea", 1), 409)
    assert browser.cart() == {"tea": 99}


def test_setting_a_line(stack: Stack) -> None:
    """PUT sets a line, again with the same effect, and 0 removes it, also where there is none."""
    browser = stack.browser()
    for qty, cart in ((7, {"tea": 7}), (7, {"tea": 7}), (99, {"tea": 99}), (0, {}), (0, {})):
        answer = browser.send("PUT", "/api/cart/items/tea", {"qty": qty})
        assert answer.status == 200
        assert {item["sku"]: item["qty"] for item in answer.json()["items"]} == cart
        assert browser.cart() == cart


def test_deleting_is_idempotent(stack: Stack) -> None:
    """Deleting a line or the whole cart twice answers 200 with the cart both times."""
    browser = stack.browser()
    browser.add("tea")
    browser.add("jam")
    for _ in range(2):
        answer = browser.ask("DELETE", "/api/cart/items/tea")
        assert (answer.status, [item["sku"] for item in answer.json()["items"]]) == (200, ["jam"])
    for _ in range(2):
        answer = browser.ask("DELETE", "/api/cart")
        assert (answer.status, answer.json()) == (200, _EMPTY_CART)


def test_a_session_shows_itself(stack: Stack) -> None:
    """The session call counts its hits from 1, and tells since when and which worker answers."""
    browser = stack.browser()
    before = datetime.now(UTC)
    answer = browser.ask("GET", "/api/session")
    shown = answer.json()
    assert shown.keys() == {"handle", "created", "hits", "user", "served_by"}
    assert (shown["hits"], shown["user"]) == (1, None)
    assert shown["served_by"] == answer.headers["X-Served-By"]
    assert re.fullmatch(r"app-[12]/\d+", shown["served_by"])
    assert shown["created"].endswith("Z")
    created = datetime.fromisoformat(shown["created"])
    assert abs(created - before) < timedelta(seconds=10)
    again = browser.session()
    assert (again["hits"], again["handle"], again["created"]) == (
        2,
        shown["handle"],
        shown["created"],
    )


def test_the_handle_is_not_the_id(stack: Stack) -> None:
    """What the session call shows cannot be used as a cookie, and no body shows the cookie."""
    browser = stack.browser()
    answer = browser.ask("GET", "/api/session")
    sid = browser.cookies["sid"]
    assert sid.encode() not in answer.body
    assert all(part.encode() not in answer.body for part in sid.split(".") if len(part) > 20)
    thief = stack.browser()
    thief.cookies["sid"] = answer.json()["handle"]
    assert thief.session()["handle"] != answer.json()["handle"]


def test_the_cookie(stack: Stack) -> None:
    """Over plain HTTP the cookie is sid: HttpOnly, SameSite=Lax, for / and for this host only."""
    answer = stack.browser().add("tea")
    (line,) = answer.headers.get_all("Set-Cookie", [])
    pair, *attributes = line.split("; ")
    assert pair.startswith("sid=")
    names = {attribute.partition("=")[0].lower() for attribute in attributes}
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)
    assert not names & {"domain", "secure"}
    assert answer.headers["Cache-Control"] == "no-store"


def test_health(stack: Stack) -> None:
    """Liveness and readiness answer ok."""
    for path in ("/livez", "/readyz"):
        answer = ask(stack.port, "GET", path)
        assert (answer.status, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("qty", [0, -1, 100, 10**30, True, 1.0, 1.5, "1", None, [1], {}], ids=repr)
def test_quantities_that_are_none(stack: Stack, qty: object) -> None:
    """A qty to add that is no integer from 1 to 99 is a 422 that names the field."""
    answer = stack.browser().send("POST", "/api/cart/items", {"sku": "tea", "qty": qty})
    _assert_problem(answer, 422)
    (error,) = answer.json()["errors"]
    assert error["field"] == "qty"
    assert error["detail"]


@pytest.mark.parametrize("document", [{}, {"qty": -1}, {"qty": 100}, {"qty": "0"}, {"qty": False}])
def test_lines_cannot_be_set_to_that(stack: Stack, document: dict[str, object]) -> None:
    """A qty to set that is missing or no integer from 0 to 99 is a 422 that names the field."""
    answer = stack.browser().send("PUT", "/api/cart/items/tea", document)
    _assert_problem(answer, 422)
    assert [error["field"] for error in answer.json()["errors"]] == ["qty"]


def test_all_wrong_fields_are_named(stack: Stack) -> None:
    """A body with two wrong fields is one 422 that names both."""
    answer = stack.browser().send("POST", "/api/cart/items", {"sku": 5, "qty": "x"})
    _assert_problem(answer, 422)
    assert {error["field"] for error in answer.json()["errors"]} == {"sku", "qty"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"tea"', b"null", b'{"sku":"tea","qty":NaN}', b"\xff", b"[" * 50_000],
    ids=repr,
)
def test_bodies_that_are_no_object(stack: Stack, body: bytes) -> None:
    """A body that is not one JSON object is a 400."""
    _assert_problem(ask(stack.port, "POST", "/api/cart/items", body, _JSON), 400)


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}],
    ids=repr,
)
def test_other_content_types(stack: Stack, headers: dict[str, str]) -> None:
    """The API takes application/json; anything else, or nothing, is a 415."""
    body = b'{"sku":"tea","qty":1}'
    _assert_problem(ask(stack.port, "POST", "/api/cart/items", body, headers), 415)


def test_json_with_a_charset(stack: Stack) -> None:
    """application/json with a parameter is still JSON."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = ask(stack.port, "POST", "/api/cart/items", b'{"sku":"tea"}', headers)
    assert answer.status == 200


def test_unknown_things(stack: Stack) -> None:
    """An unknown sku or path is a 404."""
    browser = stack.browser()
    _assert_problem(browser.add("no-such-sku"), 404)
    _assert_problem(browser.send("PUT", "/api/cart/items/no-such-sku", {"qty": 1}), 404)
    _assert_problem(browser.ask("GET", "/api/no-such-path"), 404)
    _assert_problem(browser.ask("GET", "/no-such-path"), 404)


@pytest.mark.parametrize("size", [65_537, 1_000_000])
def test_large_bodies(stack: Stack, size: int) -> None:
    """A body over 64 KiB is a 413."""
    request = (
        b"POST /api/cart/items HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % size
    )
    _assert_problem(exchange(stack.port, request), 413)


def test_the_largest_body(stack: Stack) -> None:
    """A body of exactly 64 KiB is read: padded JSON is served."""
    body = b'{"sku":"tea"}'.ljust(65_536)
    assert ask(stack.port, "POST", "/api/cart/items", body, _JSON).status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/api/products", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/api/cart", {"GET", "HEAD", "OPTIONS", "DELETE"}),
        ("GET", "/api/cart/items", {"POST", "OPTIONS"}),
        ("POST", "/api/cart/items/tea", {"PUT", "DELETE", "OPTIONS"}),
        ("POST", "/api/session", {"GET", "HEAD", "OPTIONS"}),
        ("PATCH", "/livez", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/readyz", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_wrong_methods(stack: Stack, method: str, path: str, allowed: set[str]) -> None:
    """A wrong method is a 405 whose Allow lists the right ones."""
    answer = ask(stack.port, method, path)
    _assert_problem(answer, 405)
    assert set(answer.headers["Allow"].replace(" ", "").split(",")) == allowed


@pytest.mark.parametrize(
    ("path", "method"),
    [("/api/products", "GET"), ("/api/cart", "GET"), ("/livez", "GET"), ("/nothing", "GET"),
     ("/api/cart", "PATCH")],
)  # fmt: skip
def test_every_answer_is_named(stack: Stack, path: str, method: str) -> None:
    """Every answer carries one request id of its own and the worker that made it."""
    first, second = (ask(stack.port, method, path) for _ in range(2))
    assert len({first.request_id, second.request_id, ""}) == 3
    for answer in (first, second):
        assert re.fullmatch(r"app-[12]/\d+", answer.headers["X-Served-By"])


def test_a_head_is_a_get_without_a_body(stack: Stack) -> None:
    """HEAD answers what GET does, without the body."""
    got = ask(stack.port, "GET", "/api/products")
    headed = ask(stack.port, "HEAD", "/api/products")
    assert (headed.status, headed.body) == (200, b"")
    assert headed.headers["Content-Length"] == str(len(got.body))


def _own(stack: Stack) -> str:
    return f"http://127.0.0.1:{stack.port}"


def test_other_sites_cannot_change_anything(stack: Stack) -> None:
    """Unsafe requests that another site made are 403, by Sec-Fetch-Site or else by Origin."""
    own = _own(stack)
    refused: list[dict[str, str]] = [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "nonsense"},
        {"Sec-Fetch-Site": "cross-site", "Origin": own},
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": f"https://127.0.0.1:{stack.port}"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": f"http://localhost:{stack.port}"},
    ]
    for headers in refused:
        for method, path in (
            ("POST", "/api/cart/items"),
            ("PUT", "/api/cart/items/tea"),
            ("DELETE", "/api/cart"),
        ):
            answer = ask(stack.port, method, path, b'{"sku":"tea","qty":1}', _JSON | headers)
            _assert_problem(answer, 403)
            assert "Set-Cookie" not in answer.headers


def test_our_own_pages_and_programs_pass(stack: Stack) -> None:
    """Unsafe requests of the same origin, of the address bar and of programs pass."""
    own = _own(stack)
    passing: list[dict[str, str]] = [
        {},
        {"Origin": own},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": own},
    ]
    for headers in passing:
        answer = ask(stack.port, "POST", "/api/cart/items", b'{"sku":"tea"}', _JSON | headers)
        assert answer.status == 200, headers
    named = {"Host": f"localhost:{stack.port}", "Origin": f"http://localhost:{stack.port}"}
    answer = ask(stack.port, "POST", "/api/cart/items", b'{"sku":"tea"}', _JSON | named)
    assert answer.status == 200


def test_reading_from_another_site_is_harmless(stack: Stack) -> None:
    """A safe request passes from anywhere."""
    answer = ask(stack.port, "GET", "/api/products", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status == 200


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1.evil.test", "localhost@evil.test", "_"])
def test_unknown_hosts(stack: Stack, host: str) -> None:
    """A Host that is not ours is a 400."""
    _assert_problem(ask(stack.port, "GET", "/api/products", headers={"Host": host}), 400)


def test_no_host_at_all(stack: Stack) -> None:
    """HTTP/1.0 without a Host is a 400."""
    _assert_problem(exchange(stack.port, b"GET /livez HTTP/1.0\r\n\r\n"), 400)


def test_forwarding_headers_of_a_client_are_ignored(stack: Stack) -> None:
    """A client that claims TLS, another host or a prefix is served as what it is."""
    forged = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Ssl": "on",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Prefix": "/evil",
        "X-Request-ID": "f" * 32,
    }
    answer = ask(stack.port, "POST", "/api/cart/items", b'{"sku":"tea"}', _JSON | forged)
    assert answer.status == 200
    assert answer.request_id != "f" * 32
    assert "Secure" not in answer.headers["Set-Cookie"]


def test_security_headers(stack: Stack) -> None:
    """Pages and answers say that no other site may frame them, guess types or learn paths."""
    for path in ("/", "/cart", "/api/products", "/no-such-path"):
        headers = ask(stack.port, "GET", path).headers
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy or "default-src 'self'" in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize("line", ["8000", "cookie", "fields"])
def test_gunicorn_takes_what_nginx_lets_through(stack: Stack, line: str) -> None:
    """A long request line, a long cookie and many headers are the shop's to answer, not HTML."""
    path, headers = "/livez", b""
    if line == "8000":
        path += "?" + "q" * 8000
    elif line == "cookie":
        headers = b"Cookie: other=" + b"c" * 8000 + b"\r\n"
    else:
        headers = b"".join(b"X-%d: 1\r\n" % number for number in range(78))
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode() + headers + b"\r\n"
    answer = exchange(stack.port, request)
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "ok"})
