"""Which requests are taken: for our hosts, and not from other sites."""

import pytest
from flask.testing import FlaskClient

from tests.shop.conftest import NewShop
from tests.shop.expect import expect_no_session, expect_problem, quantities

_UNSAFE = [
    ("POST", "/api/cart/items"),
    ("PUT", "/api/cart/items/tea"),
    ("DELETE", "/api/cart/items/tea"),
    ("DELETE", "/api/cart"),
    ("POST", "/cart/add"),
    ("POST", "/cart/clear"),
    ("POST", "/none"),
]


@pytest.mark.parametrize(("method", "path"), _UNSAFE)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "Same-Origin"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://localhost"},
        {"Origin": "http://localhost:8080"},
        {"Origin": "http://localhost/"},
        {"Origin": "http://localhost, http://evil.test"},
    ],
    ids=str,
)
def test_other_sites(browser: FlaskClient, method: str, path: str, headers: dict[str, str]) -> None:
    """An unsafe request that another site made is a 403 and changes nothing."""
    browser.put("/api/cart/items/tea", json={"qty": 3})
    response = browser.open(path, method=method, headers=headers, json={"sku": "tea", "qty": 1})
    expect_problem(response, 403)
    expect_no_session(response)
    assert quantities(browser.get("/api/cart")) == {"tea": 3}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Origin": "http://localhost"},
    ],
    ids=str,
)
def test_our_own_pages_and_programs(browser: FlaskClient, headers: dict[str, str]) -> None:
    """Unsafe requests from the same origin, typed ones, and those of no browser pass."""
    response = browser.post("/api/cart/items", headers=headers, json={"sku": "tea"})
    assert quantities(response) == {"tea": 1}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_is_free(browser: FlaskClient, method: str) -> None:
    """Safe requests pass from wherever they come."""
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.test"}
    assert browser.open("/", method=method, headers=headers).status_code == 200


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
def test_the_origin_behind_a_proxy(
    browser: FlaskClient, forwarded: dict[str, str], origin: str, status: int
) -> None:
    """Behind a proxy our origin is what the browser sees, scheme and port included."""
    headers = {**forwarded, "Origin": origin}
    response = browser.post("/api/cart/items", headers=headers, json={"sku": "tea"})
    assert response.status_code == status


def test_forwarded_headers_without_a_proxy(new_shop: NewShop) -> None:
    """Where no proxy stands in front, X-Forwarded-* of a client means nothing."""
    browser = new_shop(proxy_hops=0).test_client()
    headers = {"X-Forwarded-Proto": "https", "Origin": "https://localhost"}
    expect_problem(browser.post("/api/cart/items", headers=headers, json={"sku": "tea"}), 403)
    headers = {"X-Forwarded-Host": "evil.test"}
    assert browser.get("/livez", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "localhost:8080", "127.0.0.1:1", "[::1]", "[::1]:8080"]
)
def test_our_hosts(browser: FlaskClient, host: str) -> None:
    """This machine's names are served by default, on any port."""
    assert browser.get("/livez", headers={"Host": host}).status_code == 200


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
@pytest.mark.parametrize("path", ["/livez", "/api/cart", "/none"])
def test_other_hosts(browser: FlaskClient, host: str, path: str) -> None:
    """A request for any other host, or none, is a 400, whatever it asks for."""
    response = browser.get(path, headers={"Host": host})
    expect_problem(response, 400)
    expect_no_session(response)


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
    assert browser.get("/livez", headers={"Host": host}).status_code == status
