"""The account: sessions, the password, a login that is too old, other sites' forms."""

import time

import pytest

from tests.shop.conftest import NewShop
from tests.shop.page import Page
from tests.shop.pages.actions import log_in
from tests.support.http.wire import Answer
from tests.support.shop.client import ShopClient

_FORM = {"current": "ada", "new": "lovelace1815", "again": "lovelace1815"}


def _two(here: ShopClient, user: str = "ada") -> tuple[ShopClient, ShopClient]:
    """Return this browser of ada's, and another one whose session of a user is older."""
    there = here.visitor()
    for client, name in ((there, user), (here, "ada")):
        assert log_in(client, name).status == 303
    return here, there


def _users(*clients: ShopClient) -> list[str | None]:
    return [client.user() for client in clients]


@pytest.mark.parametrize("path", ["", "/end", "/end-others", "/password"])
def test_account_sends_guest_to_log_in(client: ShopClient, path: str) -> None:
    """A guest is sent to the form to log in, which leads back to the account."""
    answer = client.submit(f"/account{path}", _FORM) if path else client.get("/account")
    assert (answer.status, answer.headers["Location"]) == (303, "/login?next=/account")
    assert "Set-Cookie" not in answer.headers


def test_sessions_listed(client: ShopClient) -> None:
    """The account lists the sessions with their browsers; this one is marked and has no button."""
    here, there = _two(client)
    page = Page(here.get("/account"))
    assert page.words.count("Firefox on Linux") >= 2
    assert page.words.count("this one") == 1
    assert page.field("handle")["value"] == there.session()["handle"]


def test_session_ended(client: ShopClient) -> None:
    """The browser of an ended session is logged out at once; ending it again says so."""
    here, there = _two(client)
    page = Page(here.get("/account"))
    for said in ("That session is ended.", "That session had ended already."):
        answer = page.submit(here, "/account/end")
        assert (answer.status, answer.headers["Location"]) == (303, "/account")
        assert said in here.get("/account").text
        assert there.get("/account").headers["Location"] == "/login?next=/account"


def test_other_sessions_ended(client: ShopClient) -> None:
    """All other sessions end at once, this one stays."""
    another = client.visitor().logged_in("ada")
    here, there = _two(client)
    here.submit("/account/end-others", {})
    page = Page(here.get("/account"))
    assert "2 other sessions are ended." in page.words
    assert "End all others" not in page.words
    assert _users(here, there, another) == ["ada", None, None]


def test_session_of_other_user_stays(client: ShopClient) -> None:
    """A user cannot end the session of another user."""
    here, there = _two(client, "grace")
    here.submit("/account/end", {"handle": there.session()["handle"]})
    assert there.user() == "grace"


def test_password_changed(client: ShopClient) -> None:
    """The new password counts from then on; other sessions end, this one stays."""
    here, there = _two(client)
    answer = here.submit("/account/password", _FORM)
    assert (answer.status, answer.headers["Location"]) == (303, "/account")
    assert "Your password is changed." in here.get("/account").text
    assert _users(here, there) == ["ada", None]
    assert log_in(there).status == 401
    assert log_in(there, word="lovelace1815").status == 303


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
    client: ShopClient, fields: dict[str, str], status: int, wrong: set[str]
) -> None:
    """Errors are shown above the form and at each field; no password is shown again."""
    log_in(client)
    answer = client.submit("/account/password", {**_FORM, **fields})
    assert answer.status == status
    page = Page(answer)
    for name in ("current", "new", "again"):
        assert ("aria-invalid" in page.field(name)) == (name in wrong)
        assert (f"{name}-wrong" in page.described(name)) == (name in wrong)
        assert "value" not in page.field(name)
    assert page.field("current")["autocomplete"] == "current-password"
    assert page.field("new")["autocomplete"] == "new-password"
    assert log_in(client).status == 303


@pytest.fixture(name="hasty")
def _hasty(new_shop: NewShop) -> ShopClient:
    """A visitor of a shop to which a login is too old after a second."""
    return ShopClient(new_shop(demo=True, recent_login_seconds=1))


def _ask_until_refused(client: ShopClient, handle: str) -> Answer:
    """Ask for the end of an unknown session until the login is too old; return the answer."""
    end = time.monotonic() + 10
    while (answer := client.submit("/account/end", {"handle": "none"})).status != 401:
        assert answer.status == 303
        assert time.monotonic() < end
        time.sleep(0.05)
    return client.submit("/account/end", {"handle": handle})


def test_old_login_must_confirm_password(hasty: ShopClient) -> None:
    """An old login ends no session: a form asks for the password first, and then goes on."""
    here, there = _two(hasty)
    handle = there.session()["handle"]
    answer = _ask_until_refused(here, handle)
    assert answer.status == 401
    page = Page(answer)
    assert "Confirm your password" in page.words
    assert [form["action"] for form in page.every("form")] == ["/account/end"]
    assert page.field("handle")["value"] == handle
    assert page.field("username")["value"] == "ada"
    assert "readonly" in page.field("username")
    assert there.user() == "ada"

    answer = page.submit(here, "/account/end", username="grace", password="wrong")
    assert answer.status == 401
    page = Page(answer)
    assert page.described("password") == ["password-wrong"]
    assert page.field("handle")["value"] == handle
    assert there.user() == "ada"

    answer = page.submit(here, "/account/end", username="grace", password="ada")
    assert (answer.status, answer.headers["Location"]) == (303, "/account")
    assert _users(here, there) == ["ada", None]


def test_password_change_confirms_old_login(hasty: ShopClient) -> None:
    """The form to change the password asks for it anyway, which renews an old login."""
    here, there = _two(hasty)
    _ask_until_refused(here, "none")
    answer = here.submit("/account/password", {**_FORM, "current": "wrong"})
    assert answer.status == 401
    assert Page(answer).described("current") == ["current-wrong"]
    assert there.user() == "ada"
    assert here.submit("/account/password", _FORM).status == 303
    assert _users(here, there) == ["ada", None]
    assert log_in(there, word="lovelace1815").status == 303


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/login", {"username": "grace", "password": "grace"}),
        ("/logout", {}),
        ("/checkout", {}),
        ("/account/end", {"handle": "none"}),
        ("/account/end-others", {}),
        ("/account/password", _FORM),
    ],
)
@pytest.mark.parametrize(
    "headers", [{"Sec_Fetch_Site": "cross-site"}, {"Origin": "https://evil.example"}]
)
def test_forms_reject_other_sites(
    client: ShopClient, path: str, form: dict[str, str], headers: dict[str, str]
) -> None:
    """A form that another site's page sends is a 403 and changes nothing."""
    here, there = _two(client.fill(tea=1))
    answer = here.submit(path, form, Accept="text/html", **headers)
    assert (answer.status, answer.media_type) == (403, "text/html")
    assert _users(here, there) == ["ada", "ada"]
    assert here.cart() == {"tea": 1}
    assert log_in(there).status == 303
