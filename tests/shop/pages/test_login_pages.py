"""The form to log in, and signing out."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from shop.accounts import login

from tests.shop.conftest import NewShop
from tests.shop.expect import expect_no_session, quantities
from tests.shop.pages.actions import log_in, user_of
from tests.shop.pages.page import Page


def test_login_form(browser: FlaskClient) -> None:
    """The form names its fields for password managers, and creates no session."""
    response = browser.get("/login")
    page = Page(response)
    name, password = page.field("username"), page.field("password")
    assert (name["autocomplete"], name["autocapitalize"]) == ("username", "none")
    assert (password["type"], password["autocomplete"]) == ("password", "current-password")
    assert "required" in name
    assert "required" in password
    assert "value" not in password
    assert "ada" in page.words
    expect_no_session(response)


def test_login_form_names_no_password_without_demo(new_shop: NewShop) -> None:
    """A shop that is no demo names no password."""
    assert "linus" not in new_shop(demo=False).test_client().get("/login").text


def test_log_in(browser: FlaskClient) -> None:
    """A login redirects to the shelf, which greets the user and shows the name in its header."""
    browser.post("/cart/add", data={"sku": "tea", "qty": "2"})
    response = log_in(browser)
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    page = Page(browser.get("/"))
    assert "Welcome, ada." in page.words
    assert "Your account, ada" in page.words
    assert "Log in" not in page.words
    assert "Cart 2 in it" in page.words
    assert user_of(browser) == "ada"


def test_login_form_redirects_users(browser: FlaskClient) -> None:
    """The form redirects a user who is logged in already."""
    log_in(browser)
    assert browser.get("/login").headers["Location"] == "/account"
    assert browser.get("/login?next=/cart").headers["Location"] == "/cart"


@pytest.mark.parametrize("path", ["/", "/cart", "/orders", "/account", "/orders/0f3a"])
def test_login_goes_on_to_next(browser: FlaskClient, path: str) -> None:
    """The form keeps the address in `next`, and signing in goes there."""
    assert Page(browser.get(f"/login?next={path}")).field("next")["value"] == path
    assert log_in(browser, next=path).headers["Location"] == path


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
def test_login_rejects_offsite_next(browser: FlaskClient, path: str) -> None:
    """A login never leads to another site."""
    page = Page(browser.get("/login", query_string={"next": path}))
    assert "next" not in [field.get("name") for field in page.every("input")]
    assert log_in(browser, next=path).headers["Location"] == "/"


@pytest.mark.parametrize(
    ("fields", "status", "wrong"),
    [
        ({"password": "wrong"}, 401, "password"),
        ({"username": "nobody", "password": "wrong"}, 401, "password"),
        ({"username": ""}, 422, "username"),
        ({"password": ""}, 422, "password"),
    ],
)
def test_login_refused(
    browser: FlaskClient, fields: dict[str, str], status: int, wrong: str
) -> None:
    """The form shows the refusal and keeps the name and `next`, but not the password."""
    form = {"username": "ada", "next": "/cart", **fields}
    response = log_in(browser, **form)
    assert (response.status_code, response.mimetype) == (status, "text/html")
    page = Page(response)
    assert page.field("username")["value"] == form["username"]
    assert page.field("next")["value"] == "/cart"
    assert "value" not in page.field("password")
    assert page.field(wrong)["aria-invalid"] == "true"
    assert page.described(wrong) == [f"{wrong}-wrong"]
    (alert,) = (tag for _, tag in page.tags if tag.get("role") == "alert")
    assert "autofocus" in alert
    assert f"#{wrong}" in [link["href"] for link in page.every("a")]
    expect_no_session(response)
    assert user_of(browser) is None


def test_login_escapes_name(browser: FlaskClient) -> None:
    """The name is shown as text."""
    response = log_in(browser, '"><script>', word="wrong")
    assert response.status_code == 401
    assert "<script" not in response.text


def test_login_rate_limit(browser: FlaskClient) -> None:
    """After too many, the form says how long to wait, with the status and Retry-After."""
    for _ in range(10):
        assert log_in(browser, word="wrong").status_code == 401
    response = log_in(browser)
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    page = Page(response)
    assert "Too many wrong passwords: try again in 5 min." in page.words
    assert page.field("username")["value"] == "ada"
    assert user_of(browser) is None


def test_login_overtaken_by_other_window(
    browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another window of the browser logs in first, this one goes on as that session."""
    browser.post("/cart/add", data={"sku": "tea"})
    cookie, other = browser.get_cookie("sid"), browser.application.test_client()
    assert cookie is not None
    other.set_cookie("sid", cookie.value)
    bind = login.bind

    def overtaken(*given: Any) -> None:
        monkeypatch.setattr(login, "bind", bind)
        assert log_in(other, next="/cart").status_code == 303
        bind(*given)

    monkeypatch.setattr(login, "bind", overtaken)
    response = log_in(browser, next="/cart")
    assert (response.status_code, response.headers["Location"]) == (303, "/cart")
    expect_no_session(response)
    assert quantities(other.get("/api/cart")) == {"tea": 1}


def test_login_overtaken_by_logout(browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another window ended the session, this one is not sent on as if it were logged in."""
    browser.post("/cart/add", data={"sku": "tea"})
    cookie, other = browser.get_cookie("sid"), browser.application.test_client()
    assert cookie is not None
    other.set_cookie("sid", cookie.value)
    bind = login.bind

    def ended(*given: Any) -> None:
        assert other.post("/logout").status_code == 303
        bind(*given)

    monkeypatch.setattr(login, "bind", ended)
    response = log_in(browser, next="/cart")
    assert response.status_code == 409
    assert '<a class="button main" href="/login">Log in</a>' in response.text
    expect_no_session(response)


def test_logout(browser: FlaskClient) -> None:
    """A logout ends the session, lets the browser forget, and says so without a new one."""
    browser.post("/cart/add", data={"sku": "tea"})
    log_in(browser)
    response = browser.post("/logout")
    assert (response.status_code, response.headers["Location"]) == (303, "/login?logged_out=1")
    assert "storage" in response.headers["Clear-Site-Data"]
    page = browser.get(response.headers["Location"])
    assert "You are logged out here." in page.text
    expect_no_session(page)
    assert user_of(browser) is None
    assert quantities(browser.get("/api/cart")) == {}
