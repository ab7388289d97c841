"""The account: sessions, the password, a login that is too old, other sites' forms."""

import time

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.shop.conftest import NewShop
from tests.shop.expect import expect_no_session, quantities
from tests.shop.pages.actions import FORM, HTML, log_in, order, user_of
from tests.shop.pages.page import Page


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/account"),
        ("POST", "/account/end"),
        ("POST", "/account/end-others"),
        ("POST", "/account/password"),
    ],
)
def test_account_sends_guest_to_log_in(browser: FlaskClient, method: str, path: str) -> None:
    """A guest is sent to the form to log in, which leads back to the account."""
    form = {"current": "x", "new": "long enough", "again": "long enough"}
    response = browser.open(path, method=method, data=form if method == "POST" else None)
    assert (response.status_code, response.headers["Location"]) == (303, "/login?next=/account")
    expect_no_session(response)


def test_sessions_listed(shop: Flask) -> None:
    """The account lists the sessions with their browsers; this one is marked and has no button."""
    here, there = shop.test_client(), shop.test_client()
    log_in(there)
    log_in(here)
    page = Page(here.get("/account"))
    assert page.words.count("Firefox on Linux") >= 2
    assert page.words.count("this one") == 1
    handle = there.get("/api/session").json["handle"]  # type: ignore[index]
    assert page.field("handle")["value"] == handle


def test_session_ended(shop: Flask) -> None:
    """The browser of an ended session is logged out at once; ending it again says so."""
    here, there = shop.test_client(), shop.test_client()
    log_in(there)
    log_in(here)
    handle = Page(here.get("/account")).field("handle")["value"]
    response = here.post("/account/end", data={"handle": handle})
    assert (response.status_code, response.headers["Location"]) == (303, "/account")
    assert "That session is ended." in here.get("/account").text
    assert there.get("/account").headers["Location"] == "/login?next=/account"
    here.post("/account/end", data={"handle": handle})
    assert "That session had ended already." in here.get("/account").text


def test_other_sessions_ended(shop: Flask) -> None:
    """All other sessions end at once, this one stays."""
    here, *others = (shop.test_client() for _ in range(3))
    for browser in (*others, here):
        log_in(browser)
    here.post("/account/end-others", content_type=FORM)
    page = Page(here.get("/account"))
    assert "2 other sessions are ended." in page.words
    assert "End all others" not in page.words
    assert [user_of(browser) for browser in (here, *others)] == ["ada", None, None]


def test_session_of_other_user_stays(shop: Flask) -> None:
    """A user cannot end the session of another user."""
    here, there = shop.test_client(), shop.test_client()
    log_in(there, "grace")
    log_in(here, "ada")
    handle = there.get("/api/session").json["handle"]  # type: ignore[index]
    here.post("/account/end", data={"handle": handle})
    assert user_of(there) == "grace"


def test_password_changed(shop: Flask) -> None:
    """The new password counts from then on; other sessions end, this one stays."""
    here, there = shop.test_client(), shop.test_client()
    log_in(there)
    log_in(here)
    form = {"current": "ada", "new": "lovelace1815", "again": "lovelace1815"}
    response = here.post("/account/password", data=form)
    assert (response.status_code, response.headers["Location"]) == (303, "/account")
    assert "Your password is changed." in here.get("/account").text
    assert [user_of(here), user_of(there)] == ["ada", None]
    assert log_in(there).status_code == 401
    assert log_in(there, word="lovelace1815").status_code == 303


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
    log_in(browser)
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
    assert log_in(browser).status_code == 303


@pytest.fixture(name="hasty")
def _hasty(new_shop: NewShop) -> Flask:
    """A shop to which a login is too old after a second."""
    return new_shop(demo=True, recent_login_seconds=1)


def _ask_until_refused(browser: FlaskClient, handle: str | None) -> TestResponse:
    """Ask for the end of an unknown session until the login is too old; return the answer."""
    end = time.monotonic() + 10
    while (response := browser.post("/account/end", data={"handle": "none"})).status_code != 401:
        assert response.status_code == 303
        assert time.monotonic() < end
        time.sleep(0.05)
    return browser.post("/account/end", data={"handle": handle})


def test_old_login_must_confirm_password(hasty: Flask) -> None:
    """An old login ends no session: a form asks for the password first, and then goes on."""
    here, there = hasty.test_client(), hasty.test_client()
    log_in(there)
    log_in(here)
    handle = Page(here.get("/account")).field("handle")["value"]
    response = _ask_until_refused(here, handle)
    assert response.status_code == 401
    page = Page(response)
    assert "Confirm your password" in page.words
    assert [form["action"] for form in page.every("form")] == ["/account/end"]
    assert page.field("handle")["value"] == handle
    assert page.field("username")["value"] == "ada"
    assert "readonly" in page.field("username")
    assert user_of(there) == "ada"

    form = {"handle": handle, "username": "grace"}
    response = here.post("/account/end", data={**form, "password": "wrong"})
    assert response.status_code == 401
    page = Page(response)
    assert page.described("password") == ["password-wrong"]
    assert page.field("handle")["value"] == handle
    assert user_of(there) == "ada"

    response = here.post("/account/end", data={**form, "password": "ada"})
    assert (response.status_code, response.headers["Location"]) == (303, "/account")
    assert [user_of(here), user_of(there)] == ["ada", None]


def test_password_change_confirms_old_login(hasty: Flask) -> None:
    """The form to change the password asks for it anyway, which renews an old login."""
    here, there = hasty.test_client(), hasty.test_client()
    log_in(there)
    log_in(here)
    _ask_until_refused(here, None)
    form = {"current": "wrong", "new": "lovelace1815", "again": "lovelace1815"}
    response = here.post("/account/password", data=form)
    assert response.status_code == 401
    assert Page(response).described("current") == ["current-wrong"]
    assert user_of(there) == "ada"
    response = here.post("/account/password", data={**form, "current": "ada"})
    assert response.status_code == 303
    assert [user_of(here), user_of(there)] == ["ada", None]
    assert log_in(there, word="lovelace1815").status_code == 303


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
    log_in(there)
    here.post("/cart/add", data={"sku": "tea"})
    log_in(here)
    response = here.post(path, data=form, headers={**HTML, **headers})
    assert (response.status_code, response.mimetype) == (403, "text/html")
    assert [user_of(here), user_of(there)] == ["ada", "ada"]
    assert quantities(here.get("/api/cart")) == {"tea": 1}
    assert log_in(there).status_code == 303


@pytest.mark.parametrize("path", ["/", "/cart", "/orders", "/account"])
def test_pages_of_user_are_private(browser: FlaskClient, path: str) -> None:
    """No shared cache may keep the pages of a user; they need no script and label every field."""
    browser.post("/cart/add", data={"sku": "tea"})
    log_in(browser)
    order(browser)
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
