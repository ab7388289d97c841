"""The call that shows a session."""

from datetime import UTC, datetime, timedelta

from flask import Flask
from flask.testing import FlaskClient

from tests.shop.unit.conftest import NewShop


def test_a_session_shows_itself(browser: FlaskClient) -> None:
    """The first call creates a session and says when, for whom, and which worker answers."""
    response = browser.get("/api/session")
    assert response.status_code == 200
    shown = response.json
    assert isinstance(shown, dict)
    assert shown.keys() == {"handle", "created", "hits", "user", "served_by"}
    assert shown["created"].endswith("Z")
    age = datetime.now(UTC) - datetime.fromisoformat(shown["created"])
    assert timedelta(seconds=-1) < age < timedelta(seconds=10)
    assert (shown["hits"], shown["user"]) == (1, None)
    assert shown["served_by"] == response.headers["X-Served-By"]
    assert response.headers["Set-Cookie"].startswith("sid=")


def test_hits_count_calls_of_this_session(shop: Flask) -> None:
    """Hits counts a session's calls; handle and created stay; other sessions count their own."""
    one, other = shop.test_client(), shop.test_client()
    shown = [one.get("/api/session").json for _ in range(3)]
    assert [session["hits"] for session in shown if session] == [1, 2, 3]
    assert len({(session["handle"], session["created"]) for session in shown if session}) == 1
    strange = other.get("/api/session").json
    assert strange
    assert strange["hits"] == 1
    assert strange["handle"] != (shown[0] or {})["handle"]


def test_the_cart_does_not_count(browser: FlaskClient) -> None:
    """A session that began with the cart has its first hit at its first call here."""
    browser.post("/api/cart/items", json={"sku": "tea"})
    assert (browser.get("/api/session").json or {})["hits"] == 1


def test_no_id_is_shown(browser: FlaskClient) -> None:
    """What is shown is not what is in the cookie."""
    body = browser.get("/api/session").text
    cookie = browser.get_cookie("sid")
    assert cookie is not None
    parts = [part for part in cookie.value.split(".") if len(part) > 10]
    assert parts
    assert not [part for part in parts if part in body]


def test_the_cookie_over_http(browser: FlaskClient) -> None:
    """Over plain HTTP the cookie is sid: HttpOnly, SameSite=Lax, Path=/, no Domain, no Secure."""
    pair, *attributes = browser.get("/api/session").headers["Set-Cookie"].split("; ")
    assert pair.startswith("sid=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)
    assert not [a for a in attributes if a.startswith("Domain") or a == "Secure"]


def test_the_cookie_over_tls(new_shop: NewShop) -> None:
    """Under TLS the cookie is __Host-sid with Secure."""
    browser = new_shop(secure_cookie=True).test_client()
    response = browser.get("/api/session", base_url="https://localhost")
    pair, *attributes = response.headers["Set-Cookie"].split("; ")
    assert pair.startswith("__Host-sid=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)
    assert not [a for a in attributes if a.startswith("Domain")]


def test_who_serves_may_stay_untold(new_shop: NewShop) -> None:
    """Without SERVED_BY neither the header nor the field tells who serves."""
    response = new_shop().test_client().get("/api/session")
    assert "X-Served-By" not in response.headers
    assert (response.json or {"served_by": ""})["served_by"] is None
