"""What needs no session makes none: nothing in the store, no cookie."""

from collections.abc import Mapping

import pytest

from tests.support.client import ask
from tests.support.stack import Stack
from tests.support.wire import exchange

_JSON = {"Content-Type": "application/json"}

_WITHOUT: dict[str, tuple[str, str, bytes | None, Mapping[str, str], int]] = {
    "the catalog": ("GET", "/api/products", None, {}, 200),
    "an empty cart": ("GET", "/api/cart", None, {}, 200),
    "the first page": ("GET", "/", None, {}, 200),
    "an empty cart's page": ("GET", "/cart", None, {}, 200),
    "liveness": ("GET", "/livez", None, {}, 200),
    "readiness": ("GET", "/readyz", None, {}, 200),
    "nothing to remove": ("DELETE", "/api/cart/items/tea", None, {}, 200),
    "nothing to empty": ("DELETE", "/api/cart", None, {}, 200),
    "nothing to set to 0": ("PUT", "/api/cart/items/tea", b'{"qty":0}', _JSON, 200),
    "no JSON": ("POST", "/api/cart/items", b"{", _JSON, 400),
    "another host": ("GET", "/api/session", None, {"Host": "evil.test"}, 400),
    "another site": (
        "POST", "/api/cart/items", b'{"sku":"tea"}', _JSON | {"Origin": "null"}, 403,
    ),
    "an unknown path": ("GET", "/nothing", None, {}, 404),
    "an unknown product": ("POST", "/api/cart/items", b'{"sku":"no"}', _JSON, 404),
    "a wrong method": ("POST", "/api/session", b"", {}, 405),
    "too large a body": ("POST", "/api/cart/items", bytes(65_537), _JSON, 413),
    "no content type": ("POST", "/api/cart/items", b'{"sku":"tea"}', {}, 415),
    "a wrong quantity": ("POST", "/api/cart/items", b'{"sku":"tea","qty":0}', _JSON, 422),
}  # fmt: skip


@pytest.fixture(name="quiet_stack", scope="module")
def _quiet_stack(own_stack: Stack) -> Stack:
    """A stack that nobody else visits, with nothing in its store."""
    with own_stack.store() as store:
        store.flushdb()
    return own_stack


@pytest.mark.parametrize("what", _WITHOUT)
def test_no_session_is_made(quiet_stack: Stack, what: str) -> None:
    """A visitor who puts nothing into a session gets no cookie, and the store stays empty."""
    method, path, body, headers, status = _WITHOUT[what]
    answer = ask(quiet_stack.port, method, path, body, headers)
    assert answer.status == status
    assert "Set-Cookie" not in answer.headers
    assert quiet_stack.stored() == 0


@pytest.mark.parametrize("path", ["/api/products", "/livez", "/readyz"])
def test_what_touches_no_session_may_be_shared(quiet_stack: Stack, path: str) -> None:
    """An answer that no session can change does not vary by cookie, not even for its owner."""
    with quiet_stack.browser() as browser:
        browser.session()
        answer = browser.ask("GET", path)
        assert "Set-Cookie" not in answer.headers
        assert "cookie" not in answer.headers.get("Vary", "").lower()
    with quiet_stack.store() as store:
        store.flushdb()


def test_refusals_of_nginx_make_none(quiet_stack: Stack) -> None:
    """An error that nginx answers sets no cookie and stores nothing."""
    answer = exchange(quiet_stack.port, b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (answer.status, "Set-Cookie" in answer.headers) == (405, False)
    assert quiet_stack.stored() == 0


@pytest.mark.parametrize(
    "cookie", ["x", "a" * 4000, "..", "sid", "%00", "1.2.3.4", "é", '"quoted"', "a b;c"]
)
def test_forged_cookies_make_none(quiet_stack: Stack, cookie: str) -> None:
    """A made-up cookie reads as an empty cart, and stores nothing."""
    answer = ask(quiet_stack.port, "GET", "/api/cart", headers={"Cookie": f"sid={cookie}"})
    assert (answer.status, answer.json()["count"]) == (200, 0)
    assert "Set-Cookie" not in answer.headers
    assert quiet_stack.stored() == 0


def test_a_forged_id_is_not_adopted(quiet_stack: Stack) -> None:
    """Who comes with a made-up cookie and fills a cart gets an id that the shop chose."""
    with quiet_stack.browser() as browser:
        browser.cookies["sid"] = "a" * 64
        assert browser.add("tea").status == 200
        assert "a" * 64 not in browser.cookies["sid"]
        assert browser.cart() == {"tea": 1}
    with quiet_stack.store() as store:
        store.flushdb()
