"""Login, logout and the password."""

import secrets
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest

from tests.shop.expect import assert_problem
from tests.shop.http.places import Place
from tests.support.http.wire import Answer
from tests.support.shop.client import ShopClient

_SKUS = ("honey", "jam", "labels", "magnets", "maple", "milk", "notes", "rice", "tape", "tea")


@pytest.mark.parametrize("user", ["ada", "grace", "linus"])
def test_login(client: ShopClient, user: str) -> None:
    """Each demo user logs in, and the session is the user's from then on."""
    answer = client.log_in(user)
    assert (answer.status, answer.json()) == (200, {"user": user})
    assert answer.headers["Cache-Control"] == "no-store"
    assert client.session()["user"] == user


def test_login_new_id(client: ShopClient) -> None:
    """The session goes on under a new id, and the old one is no user's."""
    before = client.session()
    thief = client.tab()
    after = client.logged_in("ada").session()
    assert (before["user"], after["user"]) == (None, "ada")
    assert before["handle"] != after["handle"]
    assert after["hits"] == 2
    assert_problem(thief.get("/api/sessions"), 401, "login-required")
    assert_problem(thief.add("tea"), 409, "session-gone")


def test_login_carries_cart(client: ShopClient) -> None:
    """The cart comes along unchanged; another session of the user keeps its own."""
    other = client.visitor().logged_in("ada").fill(tea=98)
    client.fill(tea=3, rice=2).logged_in("ada")
    assert client.cart() == {"rice": 2, "tea": 3}
    assert other.cart() == {"tea": 98}


def test_login_racing_adds(client: ShopClient) -> None:
    """Of 200 adds around a login, those that answered 200 are in the cart, and no others."""
    client.fill(wax=1)
    login = client.tab()
    tabs = [client.tab() for _ in range(200)]
    with ThreadPoolExecutor(9) as threads:
        skus = cycle(_SKUS)
        adds = [threads.submit(tab.add, next(skus)) for tab in tabs[:100]]
        logging_in = threads.submit(login.log_in, "grace")
        adds += [threads.submit(tab.add, next(skus)) for tab in tabs[100:]]
        statuses = [add.result().status for add in adds]
        assert logging_in.result().status == 200
    assert all(tab.cookie == client.cookie for tab in tabs)
    assert set(statuses) <= {200, 409}
    assert sum(login.cart().values()) == 1 + statuses.count(200)


def test_login_concurrent(client: ShopClient) -> None:
    """Logins of four visitors are four sessions; of two tabs of one session one wins.

    A replica that hashes other passwords refuses a login at once; sent again, it is carried out.
    """
    user = client.visitor().logged_in("linus")
    assert user.send("DELETE", "/api/sessions").status == 204
    visitors = [client.visitor() for _ in range(4)]
    client.fill(tea=1)
    tabs = [client.tab() for _ in range(2)]

    def log_in(visitor: ShopClient) -> Answer:
        return visitor.insist("POST", "/api/login", {"username": "linus", "password": "linus"})

    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(log_in, visitors))
        both = list(threads.map(log_in, tabs))
    assert {answer.status for answer in answers} == {200}
    # The second may also come after the first is through: its cookie is dead by then.
    assert sorted(answer.status for answer in both) == [200, 409]
    winner = next(tab for tab, answer in zip(tabs, both, strict=True) if answer.status == 200)
    assert winner.cart() == {"tea": 1}
    assert len(user.sessions()) == 6


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
@pytest.mark.usefixtures("no_new_session")
def test_login_wrong(client: ShopClient, user: str, password: str) -> None:
    """A wrong password and an unknown user get the same answer."""
    answer = client.log_in(user, password)
    assert_problem(answer, 401, "wrong-credentials")
    assert answer.json()["detail"] == "The name or the password is wrong."
    assert client.cookie is None


def test_login_rate_limit(client: ShopClient) -> None:
    """The eleventh try after ten failures is a 429, which does not concern other users."""
    user = f"nobody-{secrets.token_hex(4)}"
    assert {client.log_in(user).status for _ in range(10)} == {401}
    answer = client.log_in(user)
    assert_problem(answer, 429, "too-many-logins")
    assert 1 <= int(answer.headers["Retry-After"]) <= 300
    assert client.log_in("grace").status == 200


def test_login_resets_limit(client: ShopClient) -> None:
    """A login that succeeds starts the count again."""
    for _ in range(2):
        assert {client.log_in("linus", "wrong").status for _ in range(9)} == {401}
        client.logged_in("linus")


def test_login_again(client: ShopClient) -> None:
    """The same user again gets a new id, and still one session."""
    client.logged_in("ada").send("DELETE", "/api/sessions")
    before = client.fill(tea=1).sessions()
    after = client.logged_in("ada").sessions()
    assert len(before) == len(after) == 1
    assert before[0]["handle"] != after[0]["handle"]
    assert client.cart() == {"tea": 1}


def test_login_other_user(client: ShopClient) -> None:
    """Another user's login ends the session first, with all that it holds."""
    order = client.logged_in("ada").fill(tea=1).check_out().json()
    assert client.fill(jam=1).session()["hits"] == 1
    shown = client.logged_in("grace").session()
    assert (shown["user"], shown["hits"]) == ("grace", 1)
    assert client.cart() == {}
    assert order not in client.orders()


def test_logout(client: ShopClient) -> None:
    """After a logout no worker knows the cookie; the browser is told to forget."""
    thief = client.logged_in("ada").fill(tea=1).tab()
    answer = client.log_out()
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert client.cookie is None
    for _ in range(8):
        assert thief.get("/api/sessions").status == 401
    assert client.cart() == {}


@pytest.mark.usefixtures("no_new_session")
def test_logout_without_session(client: ShopClient) -> None:
    """Without a session logout touches no cookie."""
    answer = client.log_out()
    assert answer.status == 204
    assert "Set-Cookie" not in answer.headers


def test_password_change(place: Place, client: ShopClient) -> None:
    """A new password ends all other sessions, and this one goes on under a new id."""
    other = client.visitor().logged_in("linus")
    before = client.logged_in("linus").session()["handle"]
    try:
        answer = client.change_password("linus", "caf\u00e9 cr\u00e8me")
        assert (answer.status, answer.body) == (204, b"")
        assert other.user() is None
        after = client.session()
        assert (after["user"], after["handle"] == before) == ("linus", False)
        assert client.visitor().log_in("linus").status == 401
        # Letters with accents are the same, composed or not.
        assert client.visitor().log_in("linus", "cafe\u0301 cre\u0300me").status == 200
    finally:
        place.reset_password("linus")


@pytest.mark.parametrize("new", ["x" * 7, "x" * 257])
def test_password_refused(client: ShopClient, new: str) -> None:
    """A password of another length, or without the current one, changes nothing."""
    client.logged_in("grace")
    short = client.change_password("grace", new)
    assert_problem(short, 422)
    assert [error["field"] for error in short.json()["errors"]] == ["new"]
    assert new not in short.text
    assert_problem(client.change_password("ada", "long enough"), 401, "wrong-credentials")
    client.visitor().logged_in("grace")
