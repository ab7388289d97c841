"""Every peer answers the calls that benchmarks send alike, as the shop's contract says."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shop.catalog import BY_SKU

from loadtest.frameworks import contract, servers
from loadtest.frameworks.benchmarks.testbed import filled_cart
from loadtest.frameworks.client import Answer, Browser
from loadtest.frameworks.peers import PEERS, Peer
from tests.support.checkout import ROOT

_CATALOG = json.loads((ROOT / "loadtest/frameworks/catalog.json").read_text(encoding="utf-8"))
_COMPARED = [peer for peer in PEERS if peer.tables]
_FLOORS = [peer for peer in PEERS if not peer.tables]


@pytest.fixture(name="peer", params=_COMPARED, ids=lambda peer: peer.name, scope="module")
def _peer(request: pytest.FixtureRequest) -> Peer:
    """A peer that is compared."""
    peer: Peer = request.param
    return peer


@pytest.fixture(name="server", scope="module")
def _server(peer: Peer, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Two processes of that peer, and their socket."""
    if peer.place == "mongodb":
        request.getfixturevalue("mongodb")
    lacking = peer.lacks()
    if lacking and os.environ.get("REQUIRE_SERVERS") == "1":
        pytest.fail(f"{lacking}, and REQUIRE_SERVERS=1")
    if lacking:
        pytest.skip(lacking)
    with tempfile.TemporaryDirectory(prefix="b-") as name:
        folder = Path(name)
        with servers.store(folder) as store, peer.serve(2, store, folder) as app:
            yield app.socket


@pytest.fixture(name="browser")
def _browser(server: Path) -> Browser:
    """A browser without cookies at that peer."""
    return Browser(server)


def _cart(**lines: int) -> dict[str, Any]:
    items = [
        {"sku": sku, "qty": qty, "name": BY_SKU[sku].name, "price_cents": BY_SKU[sku].price_cents}
        for sku, qty in sorted(lines.items())
    ]
    return {
        "items": items,
        "count": sum(lines.values()),
        "total_cents": sum(BY_SKU[sku].price_cents * qty for sku, qty in lines.items()),
    }


def test_the_peers_sell_what_the_shop_sells() -> None:
    """Skus, names and prices are the shop's."""
    assert {
        sku: {"name": product.name, "price_cents": product.price_cents}
        for sku, product in BY_SKU.items()
    } == _CATALOG


def test_every_peer_keeps_the_contract(browser: Browser) -> None:
    """Each call answers with the new cart; a refused call changes nothing."""
    assert browser.ask("GET", "/api/cart") == Answer(200, _cart())
    for method, path, body, cart in (
        ("POST", "/api/cart/items", {"sku": "tea"}, _cart(tea=1)),
        ("POST", "/api/cart/items", {"sku": "jam", "qty": 3}, _cart(tea=1, jam=3)),
        ("POST", "/api/cart/items", {"sku": "tea", "qty": 98}, _cart(tea=99, jam=3)),
        ("GET", "/api/cart", None, _cart(tea=99, jam=3)),
    ):
        assert browser.ask(method, path, body) == Answer(200, cart), (method, path, body)
    for method, path, wrong, status in (
        ("POST", "/api/cart/items", {"sku": "gold"}, 404),
        ("POST", "/api/cart/items", {"sku": 7}, 422),
        ("POST", "/api/cart/items", {"sku": "tea", "qty": 0}, 422),
        ("POST", "/api/cart/items", {"sku": "tea", "qty": True}, 422),
        ("POST", "/api/cart/items", {"sku": "tea", "qty": "2"}, 422),
        ("POST", "/api/cart/items", {"sku": "tea", "qty": 95}, 409),
        ("POST", "/api/cart/items", ["tea"], 400),
    ):
        assert browser.ask(method, path, wrong).status == status, (method, path, wrong)
    assert browser.send("POST", "/api/cart/items", b'{"sku"').status == 400
    form = browser.send("POST", "/api/cart/items", b"sku=tea", "application/x-www-form-urlencoded")
    assert form.status == 415
    assert browser.ask("GET", "/api/cart") == Answer(200, _cart(tea=99, jam=3))


def test_every_peer_logs_in_and_out(browser: Browser) -> None:
    """A login changes the cookie and keeps the cart; a logout ends both."""
    browser.ask("POST", "/api/cart/items", {"sku": "wax"})
    before = browser.cookies()
    assert browser.ask("POST", contract.LOGIN, contract.CREDENTIALS) == Answer(200, {"user": "ada"})
    assert browser.cookies() != before
    assert browser.ask("GET", contract.SESSION).body["user"] == "ada"
    assert browser.ask("GET", "/api/cart") == Answer(200, _cart(wax=1))
    assert browser.ask("POST", contract.LOGOUT).status == 204
    assert browser.ask("GET", contract.SESSION).body["user"] is None
    assert browser.ask("GET", "/api/cart") == Answer(200, _cart())


def test_with_nothing_in_flight_logins_at_providers_and_revocations_work(
    peer: Peer, browser: Browser, server: Path
) -> None:
    """A state comes back once, and an ended session is not logged in."""
    if peer.name == "shop":
        pytest.skip("the shop has no such calls, and takes no part in the anomalies")
    browser.ask("POST", contract.LOGIN, {**contract.CREDENTIALS, "username": "grace"})
    state = browser.ask("GET", contract.OAUTH_START).body["state"]
    for sent, status in (("forged", 400), (state, 400)):
        assert browser.ask("GET", contract.OAUTH_CALLBACK + sent).status == status
    state = browser.ask("GET", contract.OAUTH_START).body["state"]
    assert browser.ask("GET", contract.OAUTH_CALLBACK + state).status == 200
    revoked = Browser(server).ask("POST", contract.REVOKE, {"username": "grace"}).status
    # No server holds a session that is in the cookie.
    assert (revoked, browser.ask("GET", contract.SESSION).body["user"]) == (
        (501, "grace") if peer.name.endswith("-cookie") else (204, None)
    )


@pytest.mark.parametrize("peer", _FLOORS, ids=lambda peer: peer.name)
def test_the_floors_answer_as_the_load_asks(peer: Peer, folder: Path) -> None:
    """The peers of `--only session` read a cart and add to it, each line by line."""
    with servers.store(folder) as store, peer.serve(2, store, folder) as app:
        added = filled_cart(app.socket).ask("POST", contract.ITEMS, {"sku": contract.SKUS[0]})
    assert (added.status, added.body["count"]) == (200, 3 * len(contract.SKUS) + 1)
