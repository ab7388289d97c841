"""The form to log in, and the logout."""

from typing import Any
from urllib.parse import urlencode

import pytest
from shop.accounts import login

from tests.shop.conftest import NewShop
from tests.shop.page import Page
from tests.shop.pages.actions import log_in
from tests.support.shop.client import ShopClient


def test_login_form(client: ShopClient) -> None:
    """The form names its fields for password managers, and creates no session."""
    response = client.get("/login")
    page = Page(response)
    name, password = page.field("username"), page.field("password")
    assert (name["autocomplete"], name["autocapitalize"]) == ("username", "none")
    assert (password["type"], password["autocomplete"]) == ("password", "current-password")
    assert "required" in name
    assert "required" in password
    assert "value" not in password
    assert "ada" in page.words
    assert "Set-Cookie" not in response.headers


def test_login_form_names_no_password_without_demo(new_shop: NewShop) -> None:
    """A shop that is no demo names no password."""
    assert "linus" not in ShopClient(new_shop(demo=False)).get("/login").text


def test_log_in(client: ShopClient) -> None:
    """A login redirects to the shelf, which greets the user and shows the name in its header."""
    client.fill(tea=2)
    response = log_in(client)
    assert (response.status, response.headers["Location"]) == (303, "/")
    page = Page(client.get("/"))
    assert "Welcome, ada." in page.words
    assert "Your account, ada" in page.words
    assert "Log in" not in page.words
    assert "Cart 2 in it" in page.words
    assert client.user() == "ada"


def test_login_form_redirects_users(client: ShopClient) -> None:
    """The form redirects a user who is logged in already."""
    log_in(client)
    assert client.get("/login").headers["Location"] == "/account"
    assert client.get("/login?next=/cart").headers["Location"] == "/cart"


@pytest.mark.parametrize("path", ["/", "/cart", "/orders", "/account", "/orders/0f3a"])
def test_login_goes_on_to_next(client: ShopClient, path: str) -> None:
    """The form keeps the address in `next`, and signing in goes there."""
    assert Page(client.get(f"/login?next={path}")).field("next")["value"] == path
    assert log_in(client, next=path).headers["Location"] == path


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/cart/../\\evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "cart",
        "/cart\r\nX: y",
        "/cart//evil.example",
        "/@evil.example",
        "",
    ],
)
def test_login_rejects_offsite_next(client: ShopClient, path: str) -> None:
    """A login never leads to another site."""
    page = Page(client.get(f"/login?{urlencode({'next': path})}"))
    assert "next" not in [field.get("name") for field in page.every("input")]
    assert log_in(client, next=path).headers["Location"] == "/"


@pytest.mark.parametrize(
    ("fields", "status", "wrong"),
    [
        ({"password": "wrong"}, 401, "password"),
        ({"username": "nobody", "password": "wrong"}, 401, "password"),
        ({"username": ""}, 422, "username"),
        ({"password": ""}, 422, "password"),
    ],
)
def test_login_refused(client: ShopClient, fields: dict[str, str], status: int, wrong: str) -> None:
    """The form shows the refusal and keeps the name and `next`, but not the password."""
    form = {"username": "ada", "next": "/cart", **fields}
    response = log_in(client, **form)
    assert (response.status, response.media_type) == (status, "text/html")
    page = Page(response)
    assert page.field("username")["value"] == form["username"]
    assert page.field("next")["value"] == "/cart"
    assert "value" not in page.field("password")
    assert page.field(wrong)["aria-invalid"] == "true"
    assert page.described(wrong) == [f"{wrong}-wrong"]
    (alert,) = (tag for _, tag in page.tags if tag.get("role") == "alert")
    assert "autofocus" in alert
    assert f"#{wrong}" in [link["href"] for link in page.every("a")]
    assert "Set-Cookie" not in response.headers
    assert client.user() is None


def test_login_escapes_name(client: ShopClient) -> None:
    """The name is shown as text."""
    response = log_in(client, '"><script>', word="wrong")
    assert response.status == 401
    assert "<script" not in response.text


def test_login_rate_limit(client: ShopClient) -> None:
    """After too many, the form says how long to wait, with the status and Retry-After."""
    for _ in range(10):
        assert log_in(client, word="wrong").status == 401
    response = log_in(client)
    assert response.status == 429
    assert int(response.headers["Retry-After"]) > 0
    page = Page(response)
    assert "Too many wrong passwords: try again in 5 min." in page.words
    assert page.field("username")["value"] == "ada"
    assert client.user() is None


@pytest.mark.parametrize("by", ["/login", "/logout"])
def test_login_overtaken(client: ShopClient, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """If another window logs in first, this one goes on as that session; not if it logs out."""
    other, bind = client.fill(tea=1).tab(), login.bind

    def overtaken(*given: Any) -> None:
        monkeypatch.setattr(login, "bind", bind)
        assert other.submit(by, {"username": "ada", "password": "ada"}).status == 303
        bind(*given)

    monkeypatch.setattr(login, "bind", overtaken)
    response = log_in(client, next="/cart")
    assert "Set-Cookie" not in response.headers
    if by == "/login":
        assert (response.status, response.headers["Location"]) == (303, "/cart")
        assert other.cart() == {"tea": 1}
    else:
        assert response.status == 409
        assert '<a class="button main" href="/login">Log in</a>' in response.text


def test_logout(client: ShopClient) -> None:
    """A logout ends the session, lets the browser forget, and says so without a new one."""
    client.fill(tea=1)
    log_in(client)
    response = client.submit("/logout", {})
    assert (response.status, response.headers["Location"]) == (303, "/login?logged_out=1")
    assert "storage" in response.headers["Clear-Site-Data"]
    page = client.get(response.headers["Location"])
    assert "You are logged out here." in page.text
    assert "Set-Cookie" not in page.headers
    assert client.user() is None
    assert client.cart() == {}
