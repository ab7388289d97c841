"""Accounts by the API: login, logout, password, and a user's list of sessions."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.shop.unit.conftest import NewShop
from tests.shop.unit.expect import expect_no_session, expect_problem, quantities

_FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

Browse = Callable[[], FlaskClient]


@pytest.fixture(name="demo")
def _demo(new_shop: NewShop) -> Flask:
    """A shop with the demo's users, on each store."""
    return new_shop(demo=True)


@pytest.fixture(name="browse")
def _browse(demo: Flask) -> Browse:
    """Make visitors of the demo."""
    return demo.test_client


@pytest.fixture(name="ada")
def _ada(browse: Browse) -> FlaskClient:
    """The user ada, logged in."""
    client = browse()
    assert log_in(client, "ada") == 200
    return client


def log_in(client: FlaskClient, user: str, password: str | None = None) -> int:
    """Log in, by default with the demo's password, and return the status."""
    document = {"username": user, "password": user if password is None else password}
    return client.post("/api/login", json=document).status_code


def user_of(client: FlaskClient) -> str | None:
    """Return whom the shop takes this visitor for."""
    shown: dict[str, str | None] = client.get("/api/session").json or {}
    return shown["user"]


def handles(client: FlaskClient) -> list[str]:
    """Return the handles of the user's sessions."""
    response = client.get("/api/sessions")
    assert response.status_code == 200, response.text
    return [each["handle"] for each in response.json or []]


@pytest.mark.parametrize("user", ["ada", "grace", "linus"])
def test_login(browse: Browse, user: str) -> None:
    """Each demo user logs in with their name, and the session is theirs from then on."""
    client = browse()
    response = client.post("/api/login", json={"username": user, "password": user})
    assert (response.status_code, response.json) == (200, {"user": user})
    assert user_of(client) == user


def test_login_gives_a_new_id(browse: Browse) -> None:
    """The id from before the login is nobody's, and the session goes on under a new one."""
    client = browse()
    before = client.get("/api/session").json or {}
    old = client.get_cookie("sid")
    assert log_in(client, "ada") == 200
    after = client.get("/api/session").json or {}
    assert after["handle"] != before["handle"]
    assert after["hits"] == 2  # what it held is still there
    thief = browse()
    assert old is not None
    thief.set_cookie("sid", old.value)
    assert thief.get("/api/cart").status_code == 200
    expect_problem(thief.get("/api/sessions"), 401)


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("ada", "grace"),
        ("ada", ""),
        ("nobody", "nobody"),
        ("", ""),
        ("Ada", "Ada"),
        ("ada ", "ada"),
    ],
)
def test_wrong_credentials(browse: Browse, user: str, password: str) -> None:
    """A wrong password and an unknown user are the same 401, which leaves the session alone."""
    client = browse()
    response = client.post("/api/login", json={"username": user, "password": password})
    problem = expect_problem(response, 401)
    assert problem["code"] == "wrong-credentials"
    assert problem["detail"] == "The name or the password is wrong."
    expect_no_session(response)


@pytest.mark.parametrize("user", ["ada", "grace", "linus"])
def test_without_the_demo(new_shop: NewShop, user: str) -> None:
    """A shop that is no demo has none of its users."""
    assert log_in(new_shop().test_client(), user) == 401


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ({}, {"username", "password"}),
        ({"username": "ada"}, {"password"}),
        ({"username": ["ada"], "password": None}, {"username", "password"}),
        ({"username": "\ud800", "password": "\udfff"}, {"username", "password"}),
    ],
)
def test_fields_of_a_login(browse: Browse, document: object, fields: set[str]) -> None:
    """A name or password that is missing or no text is a 422 that names it."""
    problem = expect_problem(browse().post("/api/login", json=document), 422)
    assert {error["field"] for error in problem["errors"]} == fields


def test_too_many_failures(browse: Browse) -> None:
    """After ten failures the right password is a 429 too, which says for how long."""
    client = browse()
    for _ in range(10):
        assert log_in(client, "ada", "wrong") == 401
    response = client.post("/api/login", json={"username": "ada", "password": "ada"})
    assert expect_problem(response, 429)["code"] == "too-many-logins"
    assert 1 <= int(response.headers["Retry-After"]) <= 300
    assert log_in(client, "grace") == 200  # another user
    elsewhere = {"X-Forwarded-For": "192.0.2.7"}
    document = {"username": "ada", "password": "ada"}
    assert client.post("/api/login", json=document, headers=elsewhere).status_code == 200


def test_success_forgets_failures(browse: Browse) -> None:
    """A login that succeeds begins the count anew."""
    client = browse()
    for _ in range(2):
        for _ in range(9):
            assert log_in(client, "ada", "wrong") == 401
        assert log_in(client, "ada") == 200


def test_one_network_counts_together(browse: Browse) -> None:
    """A client cannot escape the limit through the many IPv6 addresses that it has."""
    document = {"username": "ada", "password": "wrong"}
    seen = [
        browse().post(
            "/api/login", json=document, headers={"X-Forwarded-For": f"2001:db8::{number:x}"}
        )
        for number in range(1, 12)
    ]
    assert [response.status_code for response in seen] == [401] * 10 + [429]


def test_the_guests_cart_comes_along(browse: Browse) -> None:
    """The guest's quantities are added to the user's saved cart, each line up to 99."""
    records = browse().application.extensions["shop"].records
    records.joining.join("ada", "earlier", {"tea": 98, "jam": 1}, most=99)
    client = browse()
    client.post("/api/cart/items", json={"sku": "tea", "qty": 3})
    client.post("/api/cart/items", json={"sku": "rice", "qty": 2})
    assert log_in(client, "ada") == 200
    assert quantities(client.get("/api/cart")) == {"jam": 1, "rice": 2, "tea": 99}


def test_one_cart_in_every_session(browse: Browse) -> None:
    """What a user does to the cart in one of their sessions is seen in all."""
    first, second = browse(), browse()
    assert (log_in(first, "ada"), log_in(second, "ada")) == (200, 200)
    first.post("/api/cart/items", json={"sku": "tea"})
    second.post("/api/cart/items", json={"sku": "tea"})
    assert quantities(first.get("/api/cart")) == {"tea": 2}


def test_the_guests_orders_come_along(browse: Browse) -> None:
    """What the guest ordered before the login is among the user's orders, in every session."""
    client, elsewhere = browse(), browse()
    for sku in ("tea", "jam"):
        client.post("/api/cart/items", json={"sku": sku})
        assert client.post("/api/checkout").status_code == 201
    before = client.get("/api/orders").json
    assert (log_in(client, "ada"), log_in(elsewhere, "ada")) == (200, 200)
    for each in (elsewhere, client, elsewhere):
        assert each.get("/api/orders").json == before


def test_logging_in_again(ada: FlaskClient) -> None:
    """The same user again gets a new id, and still one session."""
    before = handles(ada)
    assert log_in(ada, "ada") == 200
    assert len(handles(ada)) == 1
    assert handles(ada) != before


def test_another_user_on_the_same_browser(ada: FlaskClient) -> None:
    """Another user's login ends the session of the one before, with all that it held."""
    assert (ada.get("/api/session").json or {})["hits"] == 1
    assert log_in(ada, "grace") == 200
    shown = ada.get("/api/session").json or {}
    assert (shown["user"], shown["hits"]) == ("grace", 1)
    assert len(handles(ada)) == 1


def test_logout(ada: FlaskClient, browse: Browse) -> None:
    """Logout ends the session on the server, and tells the browser to drop what it stored."""
    cookie = ada.get_cookie("sid")
    response = ada.post("/api/logout")
    assert (response.status_code, response.data) == (204, b"")
    assert response.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    thief = browse()
    assert cookie is not None
    thief.set_cookie("sid", cookie.value)
    assert user_of(thief) is None


def test_logout_without_a_session(browse: Browse) -> None:
    """Without a session logout is a 204 that touches no cookie."""
    response = browse().post("/api/logout")
    assert response.status_code == 204
    expect_no_session(response)


def test_the_list_of_sessions(ada: FlaskClient, browse: Browse) -> None:
    """A user sees all their sessions, since when, and which of them is this one."""
    other = browse()
    other.post(
        "/api/login",
        json={"username": "ada", "password": "ada"},
        headers={"User-Agent": _FIREFOX},
    )
    listed = ada.get("/api/sessions").json or []
    assert [each["current"] for each in listed] == [True, False]
    assert listed[1]["label"] == "Firefox on Linux"
    for each in listed:
        assert each.keys() == {"handle", "created", "last_seen", "label", "current"}
        for time in (each["created"], each["last_seen"]):
            age = datetime.now(UTC) - datetime.fromisoformat(time)
            assert abs(age) < timedelta(seconds=20)
            assert time.endswith("Z")


def test_ending_a_session(ada: FlaskClient, browse: Browse) -> None:
    """A user ends one of their sessions; it is nobody's from then on, and the others live."""
    others = browse(), browse()
    for other in others:
        log_in(other, "ada")
    handle = (others[0].get("/api/session").json or {})["handle"]
    assert ada.delete(f"/api/sessions/{handle}").status_code == 204
    expect_problem(others[0].get("/api/sessions"), 401)
    assert user_of(others[1]) == "ada"
    expect_problem(ada.delete(f"/api/sessions/{handle}"), 404)


def test_ending_ones_own_session(ada: FlaskClient) -> None:
    """Ending the session that asks is a logout."""
    (handle,) = handles(ada)
    response = ada.delete(f"/api/sessions/{handle}")
    assert response.status_code == 204
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert user_of(ada) is None


def test_sessions_of_others(ada: FlaskClient, browse: Browse) -> None:
    """Another user's session, a guest's and none at all are the same 404, and live on."""
    grace, guest = browse(), browse()
    log_in(grace, "grace")
    for other in (grace, guest):
        handle = (other.get("/api/session").json or {})["handle"]
        expect_problem(ada.delete(f"/api/sessions/{handle}"), 404)
    expect_problem(ada.delete("/api/sessions/nonsense"), 404)
    assert user_of(grace) == "grace"
    assert (guest.get("/api/session").json or {})["hits"] == 2


def test_ending_all_others(ada: FlaskClient, browse: Browse) -> None:
    """A user ends all their other sessions at once."""
    other, grace = browse(), browse()
    log_in(other, "ada")
    log_in(grace, "grace")
    assert ada.delete("/api/sessions").status_code == 204
    assert len(handles(ada)) == 1
    assert (user_of(other), user_of(grace)) == (None, "grace")


@pytest.mark.parametrize(
    ("method", "path", "document"),
    [
        ("GET", "/api/sessions", None),
        ("DELETE", "/api/sessions", None),
        ("DELETE", "/api/sessions/x", None),
        ("PUT", "/api/password", {"current": "ada", "new": "long enough"}),
    ],
)
def test_guests(browse: Browse, method: str, path: str, document: object) -> None:
    """A guest has no list of sessions and no password: 401, with and without a session."""
    for client in (browse(), browse()):
        response = client.open(path, method=method, json=document)
        assert expect_problem(response, 401)["code"] == "login-required"
        client.get("/api/session")


def test_password_change(ada: FlaskClient, browse: Browse) -> None:
    """A new password ends all other sessions, and this one goes on under a new id."""
    other = browse()
    log_in(other, "ada")
    before = (ada.get("/api/session").json or {})["handle"]
    response = ada.put("/api/password", json={"current": "ada", "new": "Lovelace 1815"})
    assert (response.status_code, response.data) == (204, b"")
    assert user_of(other) is None
    after = ada.get("/api/session").json or {}
    assert (after["user"], after["handle"] == before) == ("ada", False)
    assert log_in(browse(), "ada", "ada") == 401
    assert log_in(browse(), "ada", "Lovelace 1815") == 200


def test_spelling_of_a_password(ada: FlaskClient, browse: Browse) -> None:
    """Letters with accents are the same, composed or not."""
    ada.put("/api/password", json={"current": "ada", "new": "caf\u00e9 cr\u00e8me"})
    assert log_in(browse(), "ada", "cafe\u0301 cre\u0300me") == 200


@pytest.mark.parametrize(("new", "status"), [("x" * 7, 422), ("x" * 257, 422), ("x" * 256, 204)])
def test_passwords_to_choose(ada: FlaskClient, new: str, status: int) -> None:
    """A password has 8 to 256 characters; the answer does not show it."""
    response = ada.put("/api/password", json={"current": "ada", "new": new})
    assert response.status_code == status
    assert new not in response.text


def test_password_change_with_a_wrong_one(ada: FlaskClient, browse: Browse) -> None:
    """Without the current password nothing is changed, and guessing is limited as at the login."""
    document = {"current": "guess", "new": "Lovelace 1815"}
    for _ in range(10):
        problem = expect_problem(ada.put("/api/password", json=document), 401)
        assert problem["code"] == "wrong-credentials"
    assert ada.put("/api/password", json=document).status_code == 429
    elsewhere = {"X-Forwarded-For": "192.0.2.7"}
    right = {"username": "ada", "password": "ada"}
    assert browse().post("/api/login", json=right, headers=elsewhere).status_code == 200


def test_an_old_login(new_shop: NewShop) -> None:
    """What needs a recent login challenges an old one, also one in use; logging in again helps."""
    client = new_shop(demo=True, recent_login_seconds=1).test_client()
    log_in(client, "ada")
    change = {"current": "ada", "new": "Lovelace 1815"}
    deadline = datetime.now(UTC) + timedelta(seconds=10)
    while (response := client.delete("/api/sessions")).status_code == 204:
        assert datetime.now(UTC) < deadline
    for answer in (
        response,
        client.delete("/api/sessions/x"),
        client.put("/api/password", json=change),
    ):
        assert expect_problem(answer, 401)["code"] == "recent-login-required"
    assert len(handles(client)) == 1  # still known, only not for these
    log_in(client, "ada")
    assert client.put("/api/password", json=change).status_code == 204
