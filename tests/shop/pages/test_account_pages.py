"""The pages to sign in, and those of an account and its orders."""

import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from shop.accounts import login
from werkzeug.test import TestResponse

from tests.shop.conftest import NewShop
from tests.shop.expect import FIREFOX, expect_no_session, quantities
from tests.shop.pages.page import Page

_HTML = {"Accept": "text/html"}
_FORM = "application/x-www-form-urlencoded"


@pytest.fixture(name="shop")
def _shop(new_shop: NewShop) -> Flask:
    """A shop with the demo's users."""
    return new_shop(demo=True)


def _sign_in(
    browser: FlaskClient, name: str = "ada", word: str = "", **fields: str
) -> TestResponse:
    """Send the form, by default with the name as the password."""
    form = {"username": name, "password": word or name, **fields}
    return browser.post("/login", data=form, headers={**_HTML, "User-Agent": FIREFOX})


def _who(browser: FlaskClient) -> str | None:
    user: str | None = browser.get("/api/session").json["user"]  # type: ignore[index]
    return user


def _order(browser: FlaskClient) -> TestResponse:
    """Press the button of the page of the cart as it is now."""
    key = Page(browser.get("/cart")).field("idempotency_key")["value"]
    return browser.post("/checkout", data={"idempotency_key": key}, headers=_HTML)


# Signing in.


def test_sign_in_form(browser: FlaskClient) -> None:
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


def test_sign_in_form_names_no_password_without_demo(new_shop: NewShop) -> None:
    """A shop that is no demo names no password."""
    assert "linus" not in new_shop(demo=False).test_client().get("/login").text


def test_sign_in(browser: FlaskClient) -> None:
    """Signing in redirects to the shelf, which greets the user and shows the name in its header."""
    browser.post("/cart/add", data={"sku": "tea", "qty": "2"})
    response = _sign_in(browser)
    assert (response.status_code, response.headers["Location"]) == (303, "/")
    page = Page(browser.get("/"))
    assert "Welcome, ada." in page.words
    assert "Your account, ada" in page.words
    assert "Sign in" not in page.words
    assert "Cart 2 in it" in page.words
    assert _who(browser) == "ada"


def test_sign_in_form_redirects_users(browser: FlaskClient) -> None:
    """The form redirects a user who is signed in already."""
    _sign_in(browser)
    assert browser.get("/login").headers["Location"] == "/account"
    assert browser.get("/login?next=/cart").headers["Location"] == "/cart"


@pytest.mark.parametrize("path", ["/", "/cart", "/orders", "/account", "/orders/0f3a"])
def test_sign_in_goes_on_to_next(browser: FlaskClient, path: str) -> None:
    """The form keeps the address in `next`, and signing in goes there."""
    assert Page(browser.get(f"/login?next={path}")).field("next")["value"] == path
    assert _sign_in(browser, next=path).headers["Location"] == path


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
def test_sign_in_rejects_offsite_next(browser: FlaskClient, path: str) -> None:
    """Signing in never leads to another site."""
    page = Page(browser.get("/login", query_string={"next": path}))
    assert "next" not in [field.get("name") for field in page.every("input")]
    assert _sign_in(browser, next=path).headers["Location"] == "/"


@pytest.mark.parametrize(
    ("fields", "status", "wrong"),
    [
        ({"password": "wrong"}, 401, "password"),
        ({"username": "nobody", "password": "wrong"}, 401, "password"),
        ({"username": ""}, 422, "username"),
        ({"password": ""}, 422, "password"),
    ],
)
def test_sign_in_refused(
    browser: FlaskClient, fields: dict[str, str], status: int, wrong: str
) -> None:
    """The form shows the refusal and keeps the name and `next`, but not the password."""
    form = {"username": "ada", "next": "/cart", **fields}
    response = _sign_in(browser, **form)
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
    assert _who(browser) is None


def test_sign_in_escapes_name(browser: FlaskClient) -> None:
    """The name is shown as text."""
    response = _sign_in(browser, '"><script>', word="wrong")
    assert response.status_code == 401
    assert "<script" not in response.text


def test_sign_in_rate_limit(browser: FlaskClient) -> None:
    """After too many, the form says how long to wait, with the status and Retry-After."""
    for _ in range(10):
        assert _sign_in(browser, word="wrong").status_code == 401
    response = _sign_in(browser)
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0
    page = Page(response)
    assert "Too many wrong passwords. Try again in 5 minutes." in page.words
    assert page.field("username")["value"] == "ada"
    assert _who(browser) is None


def test_sign_in_overtaken_by_other_window(
    browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another window of the browser signs in first, this one goes on as that session."""
    browser.post("/cart/add", data={"sku": "tea"})
    cookie, other = browser.get_cookie("sid"), browser.application.test_client()
    assert cookie is not None
    other.set_cookie("sid", cookie.value)
    bind = login._bind  # noqa: SLF001 (the step before which the other window comes)

    def overtaken(*given: Any) -> None:
        monkeypatch.setattr(login, "_bind", bind)
        assert _sign_in(other, next="/cart").status_code == 303
        bind(*given)

    monkeypatch.setattr(login, "_bind", overtaken)
    response = _sign_in(browser, next="/cart")
    assert (response.status_code, response.headers["Location"]) == (303, "/cart")
    expect_no_session(response)
    assert quantities(other.get("/api/cart")) == {"tea": 1}


def test_sign_in_overtaken_by_sign_out(
    browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another window ended the session, this one is not sent on as if it were signed in."""
    browser.post("/cart/add", data={"sku": "tea"})
    cookie, other = browser.get_cookie("sid"), browser.application.test_client()
    assert cookie is not None
    other.set_cookie("sid", cookie.value)
    bind = login._bind  # noqa: SLF001 (likewise)

    def ended(*given: Any) -> None:
        assert other.post("/logout").status_code == 303
        bind(*given)

    monkeypatch.setattr(login, "_bind", ended)
    response = _sign_in(browser, next="/cart")
    assert response.status_code == 409
    assert '<a class="button main" href="/login">Sign in</a>' in response.text
    expect_no_session(response)


def test_sign_out(browser: FlaskClient) -> None:
    """Signing out ends the session, lets the browser forget, and says so without a new one."""
    browser.post("/cart/add", data={"sku": "tea"})
    _sign_in(browser)
    response = browser.post("/logout")
    assert (response.status_code, response.headers["Location"]) == (303, "/login?signed_out=1")
    assert "storage" in response.headers["Clear-Site-Data"]
    page = browser.get(response.headers["Location"])
    assert "You are signed out here." in page.text
    expect_no_session(page)
    assert _who(browser) is None
    assert quantities(browser.get("/api/cart")) == {}


# Orders.


def test_orders_empty(browser: FlaskClient) -> None:
    """Without an order the page says so, without a session."""
    response = browser.get("/orders")
    assert "You have no orders yet." in response.text
    expect_no_session(response)


@pytest.mark.parametrize("user", [None, "ada"])
def test_order(browser: FlaskClient, user: str | None) -> None:
    """The button makes an order of the cart and leads to it; the list has it, the cart is empty."""
    browser.post("/cart/add", data={"sku": "tea", "qty": "2"})
    browser.post("/cart/add", data={"sku": "honey"})
    if user:
        _sign_in(browser, user)
    response = _order(browser)
    assert response.status_code == 303
    (made,) = browser.get("/api/orders").json  # type: ignore[misc]
    assert response.headers["Location"] == f"/orders/{made['order_id']}"
    for path in (response.headers["Location"], "/orders"):
        page = Page(browser.get(path))
        assert "2 × Sticky-rice tea €23.20" in page.words
        assert "1 × Forest honey €8.90" in page.words
        assert "Total €32.10" in page.words
        assert made["order_id"] in page.words
        assert [time["datetime"] for time in page.every("time")] == [made["created"]]
    assert quantities(browser.get("/api/cart")) == {}


def test_order_button_pressed_again(browser: FlaskClient) -> None:
    """The same button pressed again, also much later, leads to the same order and takes nothing."""
    browser.post("/cart/add", data={"sku": "tea"})
    key = {"idempotency_key": Page(browser.get("/cart")).field("idempotency_key")["value"]}
    first = browser.post("/checkout", data=key)
    browser.post("/cart/add", data={"sku": "honey"})
    again = browser.post("/checkout", data=key)
    assert (again.status_code, again.headers["Location"]) == (303, first.headers["Location"])
    assert quantities(browser.get("/api/cart")) == {"honey": 1}
    assert len(browser.get("/api/orders").json) == 1  # type: ignore[arg-type]


def test_order_button_of_each_page(browser: FlaskClient) -> None:
    """Two orders in a row are two: the key is new with every page."""
    for sku in ("tea", "honey"):
        browser.post("/cart/add", data={"sku": sku})
        _order(browser)
    assert len(browser.get("/api/orders").json) == 2  # type: ignore[arg-type]


def test_order_empty_cart(browser: FlaskClient) -> None:
    """Ordering with an empty cart, as from a second window, is a 409 that leads to the orders."""
    browser.post("/cart/add", data={"sku": "tea"})
    other = Page(browser.get("/cart")).field("idempotency_key")["value"]
    _order(browser)
    response = browser.post("/checkout", data={"idempotency_key": other}, headers=_HTML)
    assert response.status_code == 409
    assert '<a class="button main" href="/orders">' in response.text


def test_order_of_other_visitor(shop: Flask) -> None:
    """An order is shown to no other visitor, and an unknown one to none."""
    browser, other = shop.test_client(), shop.test_client()
    browser.post("/cart/add", data={"sku": "tea"})
    path = _order(browser).headers["Location"]
    assert browser.get(path).status_code == 200
    assert other.get(path, headers=_HTML).status_code == 404
    assert browser.get("/orders/none", headers=_HTML).status_code == 404


# The account.


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/account"),
        ("POST", "/account/end"),
        ("POST", "/account/end-others"),
        ("POST", "/account/password"),
    ],
)
def test_account_sends_guest_to_sign_in(browser: FlaskClient, method: str, path: str) -> None:
    """A guest is sent to the form to sign in, which leads back to the account."""
    form = {"current": "x", "new": "long enough", "again": "long enough"}
    response = browser.open(path, method=method, data=form if method == "POST" else None)
    assert (response.status_code, response.headers["Location"]) == (303, "/login?next=/account")
    expect_no_session(response)


def test_devices_listed(shop: Flask) -> None:
    """The account lists the devices with their browsers; this one is marked and has no button."""
    here, there = shop.test_client(), shop.test_client()
    _sign_in(there)
    _sign_in(here)
    page = Page(here.get("/account"))
    assert page.words.count("Firefox on Linux") >= 2
    assert page.words.count("this one") == 1
    handle = there.get("/api/session").json["handle"]  # type: ignore[index]
    assert page.field("handle")["value"] == handle


def test_device_ended(shop: Flask) -> None:
    """A device that is ended is signed out at its next request; ending it again says so."""
    here, there = shop.test_client(), shop.test_client()
    _sign_in(there)
    _sign_in(here)
    handle = Page(here.get("/account")).field("handle")["value"]
    response = here.post("/account/end", data={"handle": handle})
    assert (response.status_code, response.headers["Location"]) == (303, "/account")
    assert "That device is signed out." in here.get("/account").text
    assert there.get("/account").headers["Location"] == "/login?next=/account"
    here.post("/account/end", data={"handle": handle})
    assert "That device was signed out already." in here.get("/account").text


def test_other_devices_ended(shop: Flask) -> None:
    """All other devices are signed out at once, this one stays."""
    here, *others = (shop.test_client() for _ in range(3))
    for browser in (*others, here):
        _sign_in(browser)
    here.post("/account/end-others", content_type=_FORM)
    page = Page(here.get("/account"))
    assert "2 other devices are signed out." in page.words
    assert "End all others" not in page.words
    assert [_who(browser) for browser in (here, *others)] == ["ada", None, None]


def test_device_of_other_user_stays(shop: Flask) -> None:
    """A user cannot end the session of another user."""
    here, there = shop.test_client(), shop.test_client()
    _sign_in(there, "grace")
    _sign_in(here, "ada")
    handle = there.get("/api/session").json["handle"]  # type: ignore[index]
    here.post("/account/end", data={"handle": handle})
    assert _who(there) == "grace"


def test_password_changed(shop: Flask) -> None:
    """The new password counts from then on; other devices are signed out, this one stays."""
    here, there = shop.test_client(), shop.test_client()
    _sign_in(there)
    _sign_in(here)
    form = {"current": "ada", "new": "lovelace1815", "again": "lovelace1815"}
    response = here.post("/account/password", data=form)
    assert (response.status_code, response.headers["Location"]) == (303, "/account")
    assert "Your password is changed." in here.get("/account").text
    assert [_who(here), _who(there)] == ["ada", None]
    assert _sign_in(there).status_code == 401
    assert _sign_in(there, word="lovelace1815").status_code == 303


@pytest.mark.parametrize(
    ("fields", "status", "wrong"),
    [
        ({"current": "wrong"}, 401, {"current"}),
        ({"current": ""}, 422, {"current"}),
        ({"new": "short", "again": "short"}, 422, {"new"}),
        ({"new": "x" * 257, "again": "x" * 257}, 422, {"new"}),
        ({"again": "something else"}, 422, {"again"}),
        ({"current": "", "new": ""}, 422, {"current", "new"}),
    ],
)
def test_password_change_refused(
    browser: FlaskClient, fields: dict[str, str], status: int, wrong: set[str]
) -> None:
    """Errors are shown above the form and at each field; no password is shown again."""
    _sign_in(browser)
    form = {"current": "ada", "new": "lovelace1815", "again": "lovelace1815", **fields}
    response = browser.post("/account/password", data=form)
    assert response.status_code == status
    page = Page(response)
    for name in ("current", "new", "again"):
        assert ("aria-invalid" in page.field(name)) == (name in wrong)
        assert (f"{name}-wrong" in page.described(name)) == (name in wrong)
        assert "value" not in page.field(name)
    assert page.field("current")["autocomplete"] == "current-password"
    assert page.field("new")["autocomplete"] == "new-password"
    assert _sign_in(browser).status_code == 303


# A login that is too old.


@pytest.fixture(name="hasty")
def _hasty(new_shop: NewShop) -> Flask:
    """A shop to which a login is too old after a second."""
    return new_shop(demo=True, recent_login_seconds=1)


def _ask_until_refused(browser: FlaskClient, handle: str | None) -> TestResponse:
    """Ask for the end of an unknown device's until the login is too old; return the answer."""
    end = time.monotonic() + 10
    while (response := browser.post("/account/end", data={"handle": "none"})).status_code != 401:
        assert response.status_code == 303
        assert time.monotonic() < end
        time.sleep(0.05)
    return browser.post("/account/end", data={"handle": handle})


def test_old_login_must_confirm_password(hasty: Flask) -> None:
    """An old login ends no device: a form asks for the password first, and then goes on."""
    here, there = hasty.test_client(), hasty.test_client()
    _sign_in(there)
    _sign_in(here)
    handle = Page(here.get("/account")).field("handle")["value"]
    response = _ask_until_refused(here, handle)
    assert response.status_code == 401
    page = Page(response)
    assert "Confirm your password" in page.words
    assert [form["action"] for form in page.every("form")] == ["/account/end"]
    assert page.field("handle")["value"] == handle
    assert page.field("username")["value"] == "ada"
    assert "readonly" in page.field("username")
    assert _who(there) == "ada"

    form = {"handle": handle, "username": "grace"}
    response = here.post("/account/end", data={**form, "password": "wrong"})
    assert response.status_code == 401
    page = Page(response)
    assert page.described("password") == ["password-wrong"]
    assert page.field("handle")["value"] == handle
    assert _who(there) == "ada"

    response = here.post("/account/end", data={**form, "password": "ada"})
    assert (response.status_code, response.headers["Location"]) == (303, "/account")
    assert [_who(here), _who(there)] == ["ada", None]


def test_password_change_confirms_old_login(hasty: Flask) -> None:
    """The form to change the password asks for it anyway, which renews an old login."""
    here, there = hasty.test_client(), hasty.test_client()
    _sign_in(there)
    _sign_in(here)
    _ask_until_refused(here, None)
    form = {"current": "wrong", "new": "lovelace1815", "again": "lovelace1815"}
    response = here.post("/account/password", data=form)
    assert response.status_code == 401
    assert Page(response).described("current") == ["current-wrong"]
    assert _who(there) == "ada"
    response = here.post("/account/password", data={**form, "current": "ada"})
    assert response.status_code == 303
    assert [_who(here), _who(there)] == ["ada", None]
    assert _sign_in(there, word="lovelace1815").status_code == 303


# Every form.


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/login", {"username": "grace", "password": "grace"}),
        ("/logout", {}),
        ("/checkout", {}),
        ("/account/end", {"handle": "none"}),
        ("/account/end-others", {}),
        ("/account/password", {"current": "ada", "new": "lovelace1815", "again": "lovelace1815"}),
    ],
)
@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}]
)
def test_forms_reject_other_sites(
    shop: Flask, path: str, form: dict[str, str], headers: dict[str, str]
) -> None:
    """A form that another site's page sends is a 403 and changes nothing."""
    here, there = shop.test_client(), shop.test_client()
    _sign_in(there)
    here.post("/cart/add", data={"sku": "tea"})
    _sign_in(here)
    response = here.post(path, data=form, headers={**_HTML, **headers})
    assert (response.status_code, response.mimetype) == (403, "text/html")
    assert [_who(here), _who(there)] == ["ada", "ada"]
    assert quantities(here.get("/api/cart")) == {"tea": 1}
    assert _sign_in(there).status_code == 303


@pytest.mark.parametrize("path", ["/", "/cart", "/orders", "/account"])
def test_pages_of_user_are_private(browser: FlaskClient, path: str) -> None:
    """No shared cache may keep the pages of a user; they need no script and label every field."""
    browser.post("/cart/add", data={"sku": "tea"})
    _sign_in(browser)
    _order(browser)
    browser.post("/cart/add", data={"sku": "tea"})
    response = browser.get(path)
    control = response.headers["Cache-Control"]
    assert "private" in control or "no-store" in control
    page = Page(response)
    assert not page.every("script")
    fields = [
        f["id"] for f in page.every("input") if f.get("type") != "hidden" and "hidden" not in f
    ]
    assert fields == [label["for"] for label in page.every("label")]
    assert len(page.every("h1")) == 1
    for attributes in (attributes for _, attributes in page.tags):
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
