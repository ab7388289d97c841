"""What every answer carries, and the request's id."""

import os
import re

import pytest
from flask.testing import FlaskClient

from tests.shop.conftest import NewShop

_ID = "0123456789abcdef0123456789abcdef"
_PATHS = ["/", "/cart", "/api/products", "/api/cart", "/livez", "/none", "/static/shop.css"]


@pytest.mark.parametrize("path", _PATHS)
def test_every_answer(browser: FlaskClient, path: str) -> None:
    """Every answer has its own request id, who served it, and the security fields, once each."""
    first, second = browser.get(path), browser.get(path)
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", first.headers["X-Request-ID"])
    assert first.headers["X-Served-By"] == f"app-1/{os.getpid()}"
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    assert first.headers["Referrer-Policy"] == "same-origin"
    policy = first.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    names = [name.lower() for name, _ in first.headers]
    assert len(names) == len(set(names))
    first.close()
    second.close()


def test_the_proxys_id_is_kept(browser: FlaskClient) -> None:
    """An id that the proxy made comes back."""
    response = browser.get("/livez", headers={"X-Request-ID": _ID})
    assert response.headers["X-Request-ID"] == _ID


@pytest.mark.parametrize("given", ["", "x", _ID.upper(), _ID + "0", _ID[:-1], f"{_ID},{_ID}"])
def test_other_ids_are_replaced(browser: FlaskClient, given: str) -> None:
    """An id of any other form is replaced, and not reflected."""
    response = browser.get("/none", headers={"X-Request-ID": given})
    made = response.headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    assert made not in given
    assert (response.json or {})["request_id"] == made


def test_clients_do_not_choose_ids(new_shop: NewShop) -> None:
    """Without a proxy in front the client's id counts for nothing."""
    browser = new_shop(proxy_hops=0).test_client()
    response = browser.get("/livez", headers={"X-Request-ID": _ID})
    assert response.headers["X-Request-ID"] != _ID
