"""What a session shows of itself, and a user's list of sessions."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.shop.expect import FIREFOX, assert_problem
from tests.shop.http.places import Place
from tests.support.shop.client import ShopClient


def _assert_now(time: str) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(time)) < timedelta(seconds=60)


def test_session_show(client: ShopClient) -> None:
    """The first call creates a session and says when, for whom, and which worker answers."""
    answer = client.get("/api/session")
    shown = answer.json()
    assert shown.keys() == {"handle", "created", "hits", "user", "served_by"}
    assert (shown["hits"], shown["user"]) == (1, None)
    assert shown["served_by"] == answer.headers["X-Served-By"]
    _assert_now(shown["created"])
    assert client.cookie is not None


def test_session_hits(client: ShopClient) -> None:
    """Hits counts this session's calls, not the cart's; other sessions count their own."""
    client.fill(tea=1)
    shown = [client.session() for _ in range(3)]
    assert [session["hits"] for session in shown] == [1, 2, 3]
    assert len({(session["handle"], session["created"]) for session in shown}) == 1
    strange = client.visitor().session()
    assert strange["hits"] == 1
    assert strange["handle"] != shown[0]["handle"]


def test_session_hides_id(client: ShopClient) -> None:
    """No body shows what is in the cookie, and the handle is no cookie."""
    answer = client.get("/api/session")
    assert client.cookie is not None
    assert not [part for part in client.cookie.split(".") if len(part) > 10 and part in answer.text]
    handle = answer.json()["handle"]
    thief = client.visitor()
    thief.cookie = handle
    assert thief.session()["handle"] != handle


def test_session_cookie(client: ShopClient) -> None:
    """Over plain HTTP the cookie is sid: HttpOnly, SameSite=Lax, for / and for this host only."""
    answer = client.add("tea")
    (line,) = answer.headers.get_all("Set-Cookie", [])
    pair, *attributes = line.split("; ")
    assert pair.startswith("sid=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(attributes)
    assert not {attribute.partition("=")[0].lower() for attribute in attributes} & {
        "domain",
        "secure",
    }
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "cookie", ["x", "a" * 4000, "..", "sid", "%00", "1.2.3.4", "é", '"quoted"', "a b;c"]
)
def test_session_forged(place: Place, client: ShopClient, cookie: str) -> None:
    """A forged cookie is an empty cart and stores nothing; an add gets an id from the shop."""
    before = place.sessions()
    forged = {"Cookie": f"sid={cookie}"}
    answer = client.ask("GET", "/api/cart", headers=forged)
    assert (answer.status, answer.json()["count"]) == (200, 0)
    assert "Set-Cookie" not in answer.headers
    assert place.sessions() <= before
    assert client.add("tea", Cookie=forged["Cookie"]).status == 200
    assert client.cookie not in {None, cookie}
    assert client.cart() == {"tea": 1}


def test_sessions_list(client: ShopClient) -> None:
    """A user sees all their sessions, since when, and which of them is this one."""
    client.logged_in("ada").send("DELETE", "/api/sessions")
    client.visitor().log_in("ada", User_Agent=FIREFOX)
    listed = client.sessions()
    assert [each["current"] for each in listed] == [True, False]
    assert listed[1]["label"] == "Firefox on Linux"
    for each in listed:
        assert each.keys() == {"handle", "created", "last_seen", "label", "current"}
        _assert_now(each["created"])
        _assert_now(each["last_seen"])


def test_sessions_end(client: ShopClient) -> None:
    """A session that is ended is no user's from then on, and the others live."""
    one, other = (client.visitor().logged_in("ada") for _ in range(2))
    handle = one.session()["handle"]
    assert client.logged_in("ada").end_session(handle).status == 204
    assert_problem(one.get("/api/sessions"), 401, "login-required")
    assert other.user() == "ada"
    assert_problem(client.end_session(handle), 404)


def test_sessions_end_own(client: ShopClient) -> None:
    """Ending the session of this request is a logout."""
    handle = client.logged_in("ada").session()["handle"]
    answer = client.end_session(handle)
    assert answer.status == 204
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert client.user() is None


def test_sessions_end_foreign(client: ShopClient) -> None:
    """Another user's session, a guest's and none at all are the same 404, and live on."""
    grace, guest = client.visitor().logged_in("grace"), client.visitor()
    client.logged_in("ada")
    for handle in (grace.session()["handle"], guest.session()["handle"], "nonsense"):
        assert_problem(client.end_session(handle), 404)
    assert grace.user() == "grace"
    assert guest.session()["hits"] == 2


def test_sessions_end_others(client: ShopClient) -> None:
    """A user ends all their other sessions at once, and nobody else's."""
    other, grace = client.visitor().logged_in("ada"), client.visitor().logged_in("grace")
    assert client.logged_in("ada").send("DELETE", "/api/sessions").status == 204
    assert len(client.sessions()) == 1
    assert (other.user(), grace.user()) == (None, "grace")


@pytest.mark.parametrize("has_session", [False, True])
def test_sessions_guest(client: ShopClient, *, has_session: bool) -> None:
    """A guest has no list of sessions and no password, with and without a session."""
    if has_session:
        client.session()
    for method, path in (
        ("GET", "/api/sessions"),
        ("DELETE", "/api/sessions"),
        ("DELETE", "/api/sessions/x"),
    ):
        assert_problem(client.send(method, path), 401, "login-required")
    assert_problem(client.change_password("ada", "long enough"), 401, "login-required")
