"""Hosts, proxies, and the request's id; docs/http-api.md has the rest."""

import io
import re

import pytest
from flask.testing import FlaskClient

from tests.shop.conftest import NewShop
from tests.shop.expect import expect_no_session, expect_problem


@pytest.mark.parametrize(
    ("forwarded", "origin", "status"),
    [
        ({"X-Forwarded-Host": "localhost:8080"}, "http://localhost:8080", 200),
        ({"X-Forwarded-Host": "localhost:8080"}, "http://localhost", 403),
        ({"X-Forwarded-Proto": "https"}, "https://localhost", 200),
        ({"X-Forwarded-Proto": "https"}, "http://localhost", 403),
        (
            {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "localhost:8443"},
            "https://localhost:8443",
            200,
        ),
    ],
)
def test_origin_behind_proxy(
    browser: FlaskClient, forwarded: dict[str, str], origin: str, status: int
) -> None:
    """Behind a proxy our origin is what the browser sees, scheme and port included."""
    headers = {**forwarded, "Origin": origin}
    response = browser.post("/api/cart/items", headers=headers, json={"sku": "tea"})
    assert response.status_code == status


def test_forwarded_headers_without_proxy(new_shop: NewShop) -> None:
    """Where no proxy stands in front, X-Forwarded-* of a client means nothing."""
    browser = new_shop(proxy_hops=0).test_client()
    headers = {"X-Forwarded-Proto": "https", "Origin": "https://localhost"}
    expect_problem(browser.post("/api/cart/items", headers=headers, json={"sku": "tea"}), 403)
    headers = {"X-Forwarded-Host": "evil.test"}
    assert browser.get("/api/products", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "localhost:8080", "127.0.0.1:1", "[::1]", "[::1]:8080"]
)
def test_own_hosts(browser: FlaskClient, host: str) -> None:
    """This machine's names are served by default, on any port."""
    assert browser.get("/api/products", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "localhost.evil.test",
        "evil-localhost",
        "localhost@evil.test",
        "127.0.0.10",
        "[::2]",
        "::1",
        "localhost/",
        "",
        "_",
    ],
)
@pytest.mark.parametrize("path", ["/api/products", "/api/cart", "/none"])
def test_other_hosts_are_refused(browser: FlaskClient, host: str, path: str) -> None:
    """A request for any other host, or none, is a 400, whatever it asks for."""
    response = browser.get(path, headers={"Host": host})
    expect_problem(response, 400)
    expect_no_session(response)


@pytest.mark.parametrize("host", ["", "_", "10.0.0.7:8000", "[fd00::1]:8000", "probe.internal"])
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_is_answered_for_every_host(browser: FlaskClient, host: str, path: str) -> None:
    """A load balancer's probe names an address, or sends no host at all."""
    assert browser.get(path, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("shop.test", 200),
        ("SHOP.test:81", 200),
        ("www.shop.test", 400),
        ("a.b.other.test", 200),
        ("other.test", 200),
        ("another.test", 400),
        ("localhost", 400),
    ],
)
def test_configured_hosts(new_shop: NewShop, host: str, status: int) -> None:
    """TRUSTED_HOSTS names the hosts; a leading dot takes subdomains in."""
    browser = new_shop(trusted_hosts=("shop.test", ".other.test")).test_client()
    assert browser.get("/api/products", headers={"Host": host}).status_code == status


_ID = "0123456789abcdef0123456789abcdef"


def test_request_id_of_proxy_is_kept(browser: FlaskClient) -> None:
    """An id that the proxy made comes back."""
    response = browser.get("/livez", headers={"X-Request-ID": _ID})
    assert response.headers["X-Request-ID"] == _ID


@pytest.mark.parametrize("given", ["", "x", _ID.upper(), _ID + "0", _ID[:-1], f"{_ID},{_ID}"])
def test_malformed_request_ids_are_replaced(browser: FlaskClient, given: str) -> None:
    """An id of any other form is replaced, and not reflected."""
    response = browser.get("/none", headers={"X-Request-ID": given})
    made = response.headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    assert made not in given
    assert (response.json or {})["request_id"] == made


def test_clients_cannot_choose_request_ids(new_shop: NewShop) -> None:
    """Without a proxy in front the client's id counts for nothing."""
    browser = new_shop(proxy_hops=0).test_client()
    response = browser.get("/livez", headers={"X-Request-ID": _ID})
    assert response.headers["X-Request-ID"] != _ID


@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 413), (1_000_000, 413)])
def test_body_without_length(browser: FlaskClient, size: int, status: int) -> None:
    """A body whose length is not announced is a 413 once it passes the limit."""
    chunked = {
        "wsgi.input": io.BytesIO(b'{"sku":"tea"}'.ljust(size)),
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
    }
    response = browser.post(
        "/api/cart/items", content_type="application/json", environ_overrides=chunked
    )
    assert response.status_code == status


def test_cookie_over_tls(new_shop: NewShop) -> None:
    """Under TLS the cookie is __Host-sid with Secure."""
    browser = new_shop(secure_cookie=True).test_client()
    response = browser.get("/api/session", base_url="https://localhost")
    pair, *attributes = response.headers["Set-Cookie"].split("; ")
    assert pair.startswith("__Host-sid=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)
    assert not [attribute for attribute in attributes if attribute.startswith("Domain")]


def test_worker_is_not_named_without_served_by(new_shop: NewShop) -> None:
    """Without SERVED_BY neither the header nor the field names the worker."""
    response = new_shop().test_client().get("/api/session")
    assert "X-Served-By" not in response.headers
    assert (response.json or {"served_by": ""})["served_by"] is None


@pytest.mark.parametrize("method_path", ["GET /%00", "TRACE /livez"])
def test_requests_that_nginx_answers_itself(browser: FlaskClient, method_path: str) -> None:
    """Without nginx in front they are problems, too."""
    method, path = method_path.split()
    expect_problem(browser.open(path, method=method), 404 if method == "GET" else 405)
