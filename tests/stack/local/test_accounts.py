"""Accounts by the HTTP contract, through nginx."""

import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice

import pytest

from tests.support.client import ask
from tests.support.shop_client import ShopClient
from tests.support.stack import Stack
from tests.support.wire import Answer

_JSON = {"Content-Type": "application/json"}
_SKUS = ("honey", "jam", "labels", "magnets", "maple", "milk", "notes", "rice", "tape", "tea")


def _user(stack: Stack, name: str) -> ShopClient:
    """Return a browser of that user, with an empty cart."""
    browser = stack.browser()
    answer = browser.log_in(name)
    assert (answer.status, answer.json()) == (200, {"user": name})
    assert browser.ask("DELETE", "/api/cart").status == 200
    return browser


def _assert_problem(answer: Answer, status: int, code: str | None = None) -> None:
    assert answer.status == status, answer
    assert answer.media_type == "application/problem+json"
    problem = answer.json()
    assert problem["request_id"] == answer.request_id
    assert (code is None) or problem["code"] == code


def test_login(stack: Stack) -> None:
    """A login answers who it is, gives a new id, and adds the guest's cart to the user's one."""
    earlier = _user(stack, "ada")
    earlier.add("tea", 98)
    guest = stack.browser()
    guest.add("tea", 3)
    guest.add("jam", 2)
    before = guest.session()
    old = guest.tab()
    answer = guest.log_in("ada")
    assert (answer.status, answer.json()) == (200, {"user": "ada"})
    assert answer.headers["Cache-Control"] == "no-store"
    after = guest.session()
    assert (before["user"], after["user"]) == (None, "ada")
    assert before["handle"] != after["handle"]
    assert guest.cart() == {"jam": 2, "tea": 99}
    assert old.ask("GET", "/api/sessions").status == 401
    assert old.add("tea").status == 409


def test_one_cart_in_every_session(stack: Stack) -> None:
    """A user's cart is the same in two sessions, whichever of the workers serve them."""
    first = _user(stack, "ada")
    second = stack.browser()
    second.log_in("ada")
    workers = set()
    for browser in islice(cycle((first, second)), 16):
        answer = browser.add("tea")
        assert answer.status == 200
        workers.add(answer.headers["X-Served-By"])
    assert len(workers) > 1
    assert first.cart() == second.cart() == {"tea": 16}


def test_adds_racing_a_login(stack: Stack) -> None:
    """Of 200 adds around a login, all that answered 200 are in the cart, and no other."""
    emptied = _user(stack, "grace")
    guest = stack.browser()
    guest.add("wax")

    def add(sku: str) -> int:
        return guest.tab().add(sku).status

    cookies = dict(guest.cookies)
    login = guest.tab()
    with ThreadPoolExecutor(9) as pool:
        adds = [pool.submit(add, sku) for sku in islice(cycle(_SKUS), 100)]
        entering = pool.submit(login.log_in, "grace")
        adds += [pool.submit(add, sku) for sku in islice(cycle(_SKUS), 100)]
        statuses = [each.result() for each in adds]
        assert entering.result().status == 200
    assert guest.cookies == cookies
    assert set(statuses) <= {200, 409}
    assert sum(login.cart().values()) == 1 + statuses.count(200)
    assert login.cart() == emptied.cart()


def test_logins_at_once(stack: Stack) -> None:
    """Four logins of one user at the same moment are four sessions."""
    user = _user(stack, "linus")
    assert user.ask("DELETE", "/api/sessions").status == 204
    browsers = [stack.browser() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda browser: browser.log_in("linus"), browsers))
    assert {answer.status for answer in answers} == {200}
    assert len(user.sessions()) == 5


@pytest.mark.parametrize(
    ("user", "password"), [("ada", "grace"), ("ada", ""), ("nobody", "nobody"), ("", "")]
)
def test_wrong_credentials(stack: Stack, user: str, password: str) -> None:
    """A wrong name or password is a 401 that begins no session."""
    browser = stack.browser()
    answer = browser.log_in(user, password)
    _assert_problem(answer, 401, "wrong-credentials")
    assert browser.cookies == {}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", _JSON, 422),
        (b'{"username":"ada","password":5}', _JSON, 422),
        (b"[]", _JSON, 400),
        (b"username=ada&password=ada", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b'{"username":"ada","password":"ada"}', _JSON | {"Origin": "http://evil.test"}, 403),
    ],
)
def test_what_is_no_login(stack: Stack, body: bytes, headers: dict[str, str], status: int) -> None:
    """A login that cannot be read, or that another site made, is refused, each with its status."""
    _assert_problem(ask(stack.port, "POST", "/api/login", body, headers), status)


def test_too_many_failures(stack: Stack) -> None:
    """The eleventh try after ten failures is a 429 that says when to come back."""
    user = f"nobody-{secrets.token_hex(4)}"
    browser = stack.browser()
    assert {browser.log_in(user).status for _ in range(10)} == {401}
    answer = browser.log_in(user)
    _assert_problem(answer, 429, "too-many-logins")
    assert 1 <= int(answer.headers["Retry-After"]) <= 300


def test_logout(stack: Stack) -> None:
    """Logout is a 204, after which no worker knows the cookie; the browser is told to forget."""
    user = _user(stack, "ada")
    thief = user.tab()
    answer = user.ask("POST", "/api/logout")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert user.cookies == {}
    for _ in range(8):
        assert thief.ask("GET", "/api/sessions").status == 401
    again = user.ask("POST", "/api/logout")
    assert (again.status, again.headers["Set-Cookie"]) == (204, None)


def test_the_list_of_sessions(stack: Stack) -> None:
    """A user lists their sessions and ends one, which is refused at its next request."""
    user = _user(stack, "ada")
    assert user.ask("DELETE", "/api/sessions").status == 204
    other = stack.browser()
    other.log_in("ada")
    listed = user.sessions()
    assert [each["current"] for each in listed] == [True, False]
    for each in listed:
        assert each.keys() == {"handle", "created", "last_seen", "label", "current"}
        for time in (each["created"], each["last_seen"]):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
            age = datetime.now(UTC) - datetime.fromisoformat(time)
            assert abs(age) < timedelta(seconds=60)
    path = f"/api/sessions/{listed[1]['handle']}"
    _assert_problem(stack.browser().ask("DELETE", path), 401, "login-required")
    _assert_problem(_user(stack, "grace").ask("DELETE", path), 404)
    assert user.ask("DELETE", path).status == 204
    _assert_problem(other.ask("GET", "/api/sessions"), 401, "login-required")
    _assert_problem(user.ask("DELETE", path), 404)
    assert len(user.sessions()) == 1


def test_guests_have_none(stack: Stack) -> None:
    """A guest, with a session or without, has no list and no password to change."""
    guest = stack.browser()
    for _ in range(2):
        _assert_problem(guest.ask("GET", "/api/sessions"), 401, "login-required")
        _assert_problem(guest.ask("DELETE", "/api/sessions"), 401, "login-required")
        change = {"current": "ada", "new": "long enough"}
        _assert_problem(guest.send("PUT", "/api/password", change), 401, "login-required")
        guest.add("tea")


def test_a_password_that_is_refused(stack: Stack) -> None:
    """A new password that is too short is a 422, a wrong current one a 401; nothing changes."""
    user = _user(stack, "grace")
    short = user.send("PUT", "/api/password", {"current": "grace", "new": "short"})
    _assert_problem(short, 422)
    assert [error["field"] for error in short.json()["errors"]] == ["new"]
    wrong = user.send("PUT", "/api/password", {"current": "ada", "new": "long enough"})
    _assert_problem(wrong, 401, "wrong-credentials")
    assert stack.browser().log_in("grace").status == 200
