"""What a client sends decides neither how much is stored or answered, nor what a hash may take."""

import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from shop.accounts import limits, passwords
from shop.context import client_of
from shop.http.idempotency import MOST_STORED, idempotent
from shop.status.store import RequestEvent, StatusStore, WorkerStatus
from shop.store import Store
from unsticky import session

from tests.shop.conftest import NewShop
from tests.support.http.wire import Answer
from tests.support.same_client import DIFFERENT, SAME
from tests.support.shop.client import ShopClient
from tests.support.stores.servers import Server
from tests.support.waiting import wait_until

_LARGE = "\u00e9" * 30_000
_LONG = "a" * 7_900
_MOST_ANSWERED = 4_096
"""Bytes of any refusal, unless the field of a form is shown again."""

_PART = b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n"
_JSON = {"Content-Type": "application/json"}


@pytest.fixture(name="client")
def _client(new_shop: NewShop) -> ShopClient:
    """A visitor with a session, of a shop that publishes nothing beside requests."""
    client = ShopClient(new_shop(demo=True))
    client.session()
    return client


@pytest.mark.parametrize(
    ("method", "path", "document", "headers"),
    [
        ("POST", "/api/cart/items", {"sku": _LARGE}, {}),
        ("POST", "/api/cart/items", {"sku": "tea", "qty": _LARGE}, {}),
        ("POST", "/api/cart/items", {"sku": "tea", _LARGE: 1}, {}),
        ("POST", "/api/cart/items", {"sku": "tea", **{f"f{n}": n for n in range(4000)}}, {}),
        ("POST", "/api/cart/items", {"sku": "tea"}, {"Content-Type": f"text/{_LONG}"}),
        ("POST", "/api/cart/items", {"sku": "tea"}, {"Content-Encoding": _LONG}),
        ("POST", "/api/cart/items", {"sku": "tea"}, {"Origin": f"http://{_LONG}"}),
        ("POST", "/api/cart/items", {"sku": "tea"}, {"Sec-Fetch-Site": _LONG}),
        ("POST", "/api/cart/items", {"sku": "tea"}, {"Idempotency-Key": _LONG}),
        ("POST", "/api/login", {"username": _LARGE, "password": "ada"}, {}),
        ("PUT", f"/api/cart/items/{_LONG}", {"qty": 1}, {}),
        ("DELETE", f"/api/cart/items/{_LONG}", None, {}),
        ("DELETE", f"/api/sessions/{_LONG}", None, {}),
        ("GET", f"/orders/{_LONG}", None, {}),
        ("GET", f"/{_LONG}", None, {"Accept": "text/html"}),
        ("GET", "/livez", None, {"Host": _LONG}),
    ],
)
def test_refusals_are_short(
    client: ShopClient, method: str, path: str, document: object, headers: dict[str, str]
) -> None:
    """A refusal shows little of what was sent, however much it was."""
    body = b"" if document is None else json.dumps(document, ensure_ascii=False).encode()
    client.logged_in("ada")
    answer = client.ask(method, path, body, {**(_JSON if body else {}), **headers})
    assert 400 <= answer.status < 500
    assert len(answer.body) < _MOST_ANSWERED


@pytest.mark.parametrize(
    ("path", "document", "headers", "status"),
    [
        ("/api/cart/items", {"sku": _LARGE}, {}, 404),
        ("/api/cart/items", {"sku": "tea", "qty": 0}, {}, 422),
        ("/api/cart/items", {"sku": "tea", "size": 1}, {}, 422),
        ("/api/cart/items", {"sku": "tea"}, {"Content-Type": f"text/{_LONG}"}, 415),
        ("/api/cart/items", [], {}, 400),
        ("/api/checkout", None, {}, 409),
    ],
)
def test_refusals_are_not_stored(
    client: ShopClient,
    server: Server,
    path: str,
    document: object,
    headers: dict[str, str],
    status: int,
) -> None:
    """A key does not make the store keep what is cheap to refuse again."""
    before = set(server.keys("*"))
    body = json.dumps(document, ensure_ascii=False).encode()
    answer = client.ask("POST", path, body, {**_JSON, "Idempotency-Key": "k", **headers})
    assert answer.status == status
    assert set(server.keys("*")) == before


def test_checkout_of_an_empty_cart_changes_nothing(client: ShopClient, server: Server) -> None:
    """It leaves the session as it is: no guest's id, and no result that a key could need."""
    (name,) = server.keys("unsticky:*:s:*")
    assert client.check_out(key="k").json()["code"] == "cart-empty"
    assert set(server.raw.hkeys(name)) <= {b"\0m", b"\0s", b"v\x04hits"}
    assert server.keys("unsticky:*:r:*") == []
    assert client.fill(tea=1).check_out(key="k").status == 201


def test_large_answers_are_not_stored(new_shop: NewShop, server: Server) -> None:
    """An answer over the limit is not stored; its effect still happens once."""
    shop = new_shop()

    @shop.post("/api/large")
    @idempotent
    def large() -> str:
        return str(session.incr("large")).ljust(MOST_STORED + 1)

    client = ShopClient(shop)
    client.session()
    for _ in range(2):
        answer = client.send("POST", "/api/large", None, {"Idempotency-Key": "k"})
        assert (answer.status, answer.text.strip()) == (200, "1")
    assert server.keys("shop:*") == []


def test_hashes_in_hand_are_bounded(new_shop: NewShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """While half of the workers hash passwords, further logins are refused at once."""
    shop = new_shop(demo=True, workers=4)
    inner: list[Answer] = []

    def meanwhile(*_: object) -> bool:
        if len(inner) < 2:
            inner.append(ShopClient(shop).log_in("ada", "another"))
        return False

    monkeypatch.setattr(passwords, "matches", meanwhile)
    assert ShopClient(shop).log_in("ada", "wrong").status == 401
    busy, hashed = inner
    assert (busy.status, busy.json()["code"]) == (429, "logins-busy")
    assert busy.headers["Retry-After"] == "1"
    assert hashed.status == 401
    assert ShopClient(shop).log_in("ada", "wrong").status == 401
    page = ShopClient(shop)
    inner.clear()
    form = {"username": "ada", "password": "x"}
    monkeypatch.setattr(passwords, "matches", lambda *_: inner.append(page.submit("/login", form)))
    monkeypatch.setattr(limits, "LEASE_MS", 60_000)
    ShopClient(shop).log_in("ada", "wrong")
    assert (inner[0].status, inner[0].headers["Retry-After"]) == (429, "1")
    assert "try again in a second" in inner[0].text


def test_place_of_a_dead_worker_is_free_again(
    new_shop: NewShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that was killed while it hashed holds its place for a moment only."""
    monkeypatch.setattr(limits, "LEASE_MS", 200)
    shop = new_shop(demo=True, workers=2)
    with shop.test_request_context("/"):
        held = limits.place_to_hash()
        held.__enter__()
    client = ShopClient(shop)
    assert client.log_in("ada").status == 429
    wait_until(lambda: client.log_in("ada").status == 200, "the place is free again")


def test_failures_count_before_the_hash(new_shop: NewShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of forty guesses at once ten are checked, as if they had come one after the other."""
    shop = new_shop(demo=True, workers=128)
    checked: list[object] = []

    def slowly(*given: object) -> bool:
        checked.append(given)
        time.sleep(0.5)
        return False

    monkeypatch.setattr(passwords, "matches", slowly)
    with ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(lambda _: ShopClient(shop).log_in("ada", "x"), range(40)))
    assert len(checked) == limits.MOST_FAILURES
    assert sorted(answer.status for answer in answers) == [401] * 10 + [429] * 30


@pytest.mark.parametrize("field", ["username", "password"])
def test_long_passwords_are_not_hashed(
    client: ShopClient, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    """To normalize 64 KiB takes more than a second: nobody has such a name or password."""
    monkeypatch.setattr(passwords, "matches", lambda *_: pytest.fail("it was hashed"))
    form = {"username": "ada", "password": "ada", field: "\u0345\u0300" * 150}
    answer = client.submit("/login", form)
    assert (answer.status, "is wrong" in answer.text) == (401, True)


@pytest.mark.parametrize(("typed", "same"), [("e\u0301", True), ("\u00c9", False)])
def test_password_is_the_same_composed_or_not(typed: str, *, same: bool) -> None:
    """NFC, as NIST SP 800-63B-4 asks: keyboards differ, and other characters are others."""
    kept = passwords.hashed("caf\u00e9 \u00b2")
    assert passwords.matches(f"caf{typed} \u00b2", kept) == same
    assert not passwords.matches(f"caf{typed} 2", kept)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"a&" * 9_000),
        ("multipart/form-data; boundary=x", _PART * 400 + b"--x--"),
    ],
)
def test_forms_of_many_fields_are_not_read(client: ShopClient, kind: str, body: bytes) -> None:
    """To read 32,000 fields takes as long as 40 other requests."""
    assert client.ask("POST", "/cart/add", body, {"Content-Type": kind}).status == 413


def test_planted_trail_shows_nothing(shop: Flask) -> None:
    """A tracking cookie that was planted in another browser does not show its requests."""
    attacker, victim = ShopClient(shop), ShopClient(shop)
    attacker.get("/status")
    victim.cookies.update(attacker.cookies)
    elsewhere = {"X-Forwarded-For": "192.0.2.7"}
    victim.get("/orders/secret", **elsewhere)
    victim.get("/cart", **elsewhere)
    wait_until(lambda: "GET /cart" in victim.get("/status", **elsewhere).text, "it is published")
    assert "secret" not in attacker.get("/status").text


def test_trails_have_a_bound(shop: Flask, server: Server) -> None:
    """As many cookies as a client likes fill a bounded number of short lists."""
    status = StatusStore(shop.extensions["shop"].store)
    worker = WorkerStatus("app-1", 7)
    event = RequestEvent(1, worker.name, "GET", "/", 200)
    for _ in range(20):
        status.publish(worker, [(secrets.token_hex(16), event) for _ in range(500)])
    lists = server.keys("shop:{status}:requests:*")
    assert 900 < len(lists) <= 1024
    assert all(server.raw.llen(name) <= 48 for name in lists)


def test_recent_login_is_judged_by_the_stores_clock(
    client: ShopClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login is as old as the store says, whatever the clock of this machine says."""
    client.logged_in("ada")
    ask = Store.ask

    def an_hour_later(self: Store, *command: Any) -> Any:
        reply = ask(self, *command)
        return [int(reply[0]) + 3600, reply[1]] if command == ("TIME",) else reply

    assert client.send("DELETE", "/api/sessions").status == 204
    monkeypatch.setattr(Store, "ask", an_hour_later)
    assert client.send("DELETE", "/api/sessions").json()["code"] == "recent-login-required"


def test_client_is_the_same_as_for_nginx() -> None:
    """The shop and nginx (tests/stack/nginx/test_clients.py) count the same addresses as one."""
    assert [client_of(one) == client_of(other) for one, other in SAME] == [True] * len(SAME)
    assert [client_of(one) == client_of(other) for one, other in DIFFERENT] == [False] * len(
        DIFFERENT
    )
