"""The page `/status`, on one process."""

import gc
import threading
import time

import pytest
from shop import Settings, create_app
from shop.status.cookie import TrackingCookie
from shop.status.store import RequestEvent, WorkerStatus
from shop.status.view import draw

from tests.shop.conftest import NewShop
from tests.shop.expect import assert_problem
from tests.support.shop.client import ShopClient
from tests.support.shop.in_process import SECRET
from tests.support.stores.servers import Server
from tests.support.waiting import wait_until


def _await_event(client: ShopClient, text: str) -> None:
    """Wait until the page shows a text: requests are published a moment later."""
    wait_until(lambda: text in client.get("/status").text, f"/status shows {text}")


def test_last_requests_are_shown(client: ShopClient) -> None:
    """The page shows the requests of this browser since its first visit, without queries.

    Another browser's page does not show them.
    """
    other = client.visitor()
    other.get("/status")
    client.get("/status")
    client.get("/cart?secret=1")
    _await_event(client, "GET /cart")
    assert "secret" not in client.get("/status").text
    assert "GET /cart" not in other.get("/status").text


def test_health_checks_and_files_are_not_drawn(client: ShopClient) -> None:
    """Health checks and static files are counted, and not drawn."""
    client.get("/status")
    for path in ("/livez", "/readyz", "/static/shop.css"):
        client.get(path)
    client.get("/cart")
    _await_event(client, "GET /cart")
    page = client.get("/status").text
    assert "GET /livez" not in page
    assert "GET /readyz" not in page
    assert "GET /static" not in page


def test_page_creates_no_session(client: ShopClient) -> None:
    """The page sets the tracking cookie and no session's, and no cache may keep it."""
    response = client.get("/status")
    (cookie,) = response.headers.get_all("Set-Cookie", [])
    assert cookie.startswith("trail=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert response.headers["Cache-Control"] == "no-store"


def test_page_is_missing_without_served_by(new_shop: NewShop) -> None:
    """Without SERVED_BY the page is missing, and no other page links to it."""
    client = ShopClient(new_shop(served_by=False))
    assert_problem(client.get("/status"), 404)
    assert "/status" not in client.get("/").text


def test_store_does_not_hold_the_cookie(client: ShopClient, server: Server) -> None:
    """The store holds a digest of the tracking cookie."""
    client.get("/status")
    client.get("/cart")
    _await_event(client, "GET /cart")
    (key,) = server.keys("shop:{status}:requests:*")
    assert client.cookies["trail"] not in f"{key!r}{server.raw.lrange(key, 0, -1)}"


def test_page_shows_the_store(client: ShopClient, server: Server) -> None:
    """The page shows what the store says of itself, if it allows the shop INFO."""
    assert ">Valkey " in client.get("/status").text
    server.raw.execute_command("ACL", "SETUSER", "default", "-info")
    try:
        text = client.get("/status").text
    finally:
        server.raw.execute_command("ACL", "SETUSER", "default", "+@all")
    assert ">Valkey " not in text
    assert "does not answer" not in text


@pytest.mark.parametrize("value", ["", "x", "A" * 32, "0" * 31, "0" * 33, "{status}"])
def test_forged_tracking_cookies(value: str) -> None:
    """A cookie that the page did not set counts for nothing."""
    environ = {"HTTP_COOKIE": f"sid=1; trail={value}"}
    assert TrackingCookie(secure=False).browser(environ) is None


def test_tracking_cookie_over_tls() -> None:
    """Over TLS only the cookie counts that no other host and no plain connection could set."""
    cookie, value = TrackingCookie(secure=True), "trail=" + "0" * 32
    assert cookie.browser({"HTTP_COOKIE": value}) is None
    assert cookie.browser({"HTTP_COOKIE": f"__Host-{value}"}) is not None


def test_picture_has_the_last_requests() -> None:
    """The picture has the last requests at its right end, each on its worker's line."""
    workers = [WorkerStatus("app-1", 7), WorkerStatus("app-2", 8)]
    names = ["app-1/7", "app-2/8", "app-9/9", "app-2/8", "app-1/7"]
    events = [RequestEvent(at, name, "GET", "/", 200) for at, name in enumerate(names)]
    picture = draw(workers, events, 3)
    assert [dot.event.at for dot in picture.dots] == [1, 3, 4]
    top, bottom = (row.y for row in picture.rows)
    assert [dot.y for dot in picture.dots] == [bottom, bottom, top]
    assert picture.dots[-1].x < picture.width
    assert draw(workers, events[:1], 3).dots[0].x == picture.dots[-1].x


def test_silent_worker_counts_as_ended() -> None:
    """A worker that published nothing for three seconds counts as ended."""
    assert WorkerStatus("app-1", 7, silent_ms=3_000).alive
    assert not WorkerStatus("app-1", 7, silent_ms=3_001).alive


def test_thread_ends_with_its_shop(server: Server) -> None:
    """A shop that is no longer used leaves no thread behind."""
    before = set(threading.enumerate())
    shop = create_app(Settings(secret_key=SECRET, redis_url=server.url, served_by=True))
    ShopClient(shop).get("/livez")
    started = set(threading.enumerate()) - before
    (thread,) = (thread for thread in started if thread.name == "status")
    store = shop.extensions["shop"].store
    del shop
    end = time.monotonic() + 10
    while thread.is_alive() and time.monotonic() < end:
        gc.collect()  # the thread may just be publishing, and hold it
        thread.join(0.1)
    assert not thread.is_alive()
    store.close()
