"""Hosts, proxies, and the request's id; docs/http-api.md has the rest."""

import io
import re

import pytest
from flask import Flask

from tests.shop.conftest import NewShop
from tests.shop.expect import assert_problem
from tests.support.shop.client import ShopClient


@pytest.mark.parametrize(
    ("forwarded", "origin", "status"),
    [
        ({"X_Forwarded_Host": "localhost:8080"}, "http://localhost:8080", 200),
        ({"X_Forwarded_Host": "localhost:8080"}, "http://localhost", 403),
        ({"X_Forwarded_Proto": "https"}, "https://127.0.0.1", 200),
        ({"X_Forwarded_Proto": "https"}, "http://127.0.0.1", 403),
        (
            {"X_Forwarded_Proto": "https", "X_Forwarded_Host": "localhost:8443"},
            "https://localhost:8443",
            200,
        ),
    ],
)
def test_origin_behind_proxy(
    client: ShopClient, forwarded: dict[str, str], origin: str, status: int
) -> None:
    """Behind a proxy our origin is what the browser sees, scheme and port included."""
    assert client.add("tea", 1, None, Origin=origin, **forwarded).status == status


def test_forwarded_headers_without_proxy(new_shop: NewShop) -> None:
    """Where no proxy stands in front, X-Forwarded-* of a client means nothing."""
    client = ShopClient(new_shop(proxy_hops=0))
    assert_problem(client.add("tea", X_Forwarded_Proto="https", Origin="https://127.0.0.1"), 403)
    assert client.get("/api/products", X_Forwarded_Host="evil.test").status == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "localhost:8080", "127.0.0.1:1", "[::1]", "[::1]:8080"]
)
def test_own_hosts(client: ShopClient, host: str) -> None:
    """This machine's names are served by default, on any port."""
    assert client.get("/api/products", Host=host).status == 200


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
def test_other_hosts_are_refused(client: ShopClient, host: str, path: str) -> None:
    """A request for any other host, or none, is a 400, whatever it asks for."""
    response = client.get(path, Host=host)
    assert_problem(response, 400)
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("host", ["", "_", "10.0.0.7:8000", "[fd00::1]:8000", "probe.internal"])
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_is_answered_for_every_host(client: ShopClient, host: str, path: str) -> None:
    """A load balancer's probe names an address, or sends no host at all."""
    assert client.get(path, Host=host).status == 200


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
    client = ShopClient(new_shop(trusted_hosts=("shop.test", ".other.test")))
    assert client.get("/api/products", Host=host).status == status


_ID = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("hops", [0, 1])
def test_request_id_of_proxy_is_kept(new_shop: NewShop, hops: int) -> None:
    """An id that the proxy made comes back; without a proxy, a client's id counts for nothing."""
    answer = ShopClient(new_shop(proxy_hops=hops)).get("/livez", X_Request_ID=_ID)
    assert (answer.request_id == _ID) == (hops == 1)


@pytest.mark.parametrize("given", ["", "x", _ID.upper(), _ID + "0", _ID[:-1], f"{_ID},{_ID}"])
def test_malformed_request_ids_are_replaced(client: ShopClient, given: str) -> None:
    """An id of any other form is replaced, and not reflected."""
    response = client.get("/none", X_Request_ID=given)
    made = response.headers["X-Request-ID"]
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    assert made not in given
    assert response.json()["request_id"] == made


@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 413), (1_000_000, 413)])
def test_body_without_length(shop: Flask, size: int, status: int) -> None:
    """A body whose length is not announced is a 413 once it passes the limit."""
    chunked = {
        "wsgi.input": io.BytesIO(b'{"sku":"tea"}'.ljust(size)),
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
    }
    response = shop.test_client().post(
        "/api/cart/items", content_type="application/json", environ_overrides=chunked
    )
    assert response.status_code == status


def test_cookie_over_tls(new_shop: NewShop) -> None:
    """Under TLS the cookie is __Host-sid with Secure."""
    client = ShopClient(new_shop(secure_cookie=True))
    response = client.get("/api/session", X_Forwarded_Proto="https")
    pair, *attributes = response.headers["Set-Cookie"].split("; ")
    assert pair.startswith("__Host-sid=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)
    assert not [attribute for attribute in attributes if attribute.startswith("Domain")]


def test_worker_is_not_named_without_served_by(new_shop: NewShop) -> None:
    """Without SERVED_BY neither the header nor the field names the worker."""
    response = ShopClient(new_shop()).get("/api/session")
    assert "X-Served-By" not in response.headers
    assert response.json()["served_by"] is None


def test_requests_that_nginx_answers_itself(client: ShopClient) -> None:
    """Without nginx in front they are problems, too."""
    assert_problem(client.ask("GET", "/%00"), 404)
    assert_problem(client.ask("TRACE", "/livez"), 405)
