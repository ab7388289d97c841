"""The page that shows the stack at work, on one process."""

import gc
import threading
import time

import pytest
import redis
from flask.testing import FlaskClient
from shop import Settings, create_app
from shop.status import Hop, Trail, WorkerSeen
from shop.status.picture import draw

from tests.shop.conftest import SECRET, NewShop
from tests.shop.expect import expect_problem
from tests.shop.unit.valkey import Valkey


def _seen(browser: FlaskClient, text: str) -> bool:
    """Whether the page shows a text within the time that telling the board may take."""
    end = time.monotonic() + 10
    while text not in (response := browser.get("/status")).text:
        assert response.status_code == 200
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_the_last_requests(browser: FlaskClient) -> None:
    """What a browser asked for after it first looked is shown to it; queries are not kept."""
    browser.get("/status")
    browser.get("/cart?secret=1")
    assert _seen(browser, "GET /cart")
    assert "secret" not in browser.get("/status").text


def test_what_is_not_drawn(browser: FlaskClient) -> None:
    """Health checks and static files are counted, and not drawn."""
    browser.get("/status")
    for path in ("/livez", "/readyz", "/static/shop.css"):
        browser.get(path).close()
    browser.get("/cart")
    assert _seen(browser, "GET /cart")
    page = browser.get("/status").text
    assert "GET /livez" not in page
    assert "GET /readyz" not in page
    assert "GET /static" not in page


def test_the_trail_is_no_session(browser: FlaskClient) -> None:
    """Looking at the page sets the trail's cookie and no session's, and is kept by nobody."""
    response = browser.get("/status")
    (cookie,) = response.headers.getlist("Set-Cookie")
    assert cookie.startswith("trail=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert response.headers["Cache-Control"] == "no-store"


def test_a_shop_that_does_not_tell(new_shop: NewShop) -> None:
    """Without SERVED_BY the page is not there, no other links to it, and nothing is recorded."""
    browser = new_shop(served_by=False).test_client()
    expect_problem(browser.get("/status"), 404)
    assert "/status" not in browser.get("/").text


@pytest.mark.parametrize("redis_url", ["valkey"], indirect=True)
def test_the_trails_cookie_stays_with_the_browser(valkey: Valkey, new_shop: NewShop) -> None:
    """The store holds a digest of the trail's cookie, never the cookie."""
    browser = new_shop(served_by=True).test_client()
    browser.get("/status")
    cookie = browser.get_cookie("trail")
    assert cookie is not None
    browser.get("/cart")
    assert _seen(browser, "GET /cart")
    with redis.Redis.from_url(valkey.url, decode_responses=True) as store:
        (key,) = store.scan_iter("shop:{status}:trail:*")
        assert cookie.value not in f"{key}{store.lrange(key, 0, -1)}"


@pytest.mark.parametrize("value", ["", "x", "A" * 32, "0" * 31, "0" * 33, "{status}"])
def test_forged_trails(value: str) -> None:
    """A cookie that the page did not set is no trail."""
    assert Trail(secure=False).key(f"sid=1; trail={value}") is None


def test_a_trail_over_tls() -> None:
    """Over TLS only the cookie counts that no other host and no plain connection could set."""
    assert Trail(secure=True).key("trail=" + "0" * 32) is None
    assert Trail(secure=True).key("__Host-trail=" + "0" * 32) is not None


def test_the_picture_keeps_the_last() -> None:
    """The picture has the last requests at its right end, each on its worker's line."""
    workers = [WorkerSeen(name, 0, 0, 0) for name in ("app-1/7", "app-2/8")]
    names = ["app-1/7", "app-2/8", "app-9/9", "app-2/8", "app-1/7"]
    hops = [Hop(at, name, "GET", "/", 200) for at, name in enumerate(names)]
    picture = draw(workers, hops, 3)
    assert [dot.hop.at for dot in picture.dots] == [1, 3, 4]
    top, bottom = (row.y for row in picture.rows)
    assert [dot.y for dot in picture.dots] == [bottom, bottom, top]
    assert picture.dots[-1].x < picture.width
    assert draw(workers, hops[:1], 3).dots[0].x == picture.dots[-1].x


def test_silence() -> None:
    """A worker that told nothing for three seconds is taken for ended."""
    assert WorkerSeen("app-1/7", 0, 0, 0, silent_ms=3_000).alive
    assert not WorkerSeen("app-1/7", 0, 0, 0, silent_ms=3_001).alive


def test_the_thread_ends_with_its_shop() -> None:
    """A shop that nobody uses any more leaves no thread behind."""
    before = set(threading.enumerate())
    shop = create_app(Settings(secret_key=SECRET, served_by=True))
    shop.test_client().get("/livez")
    (thread,) = set(threading.enumerate()) - before
    del shop
    end = time.monotonic() + 10
    while thread.is_alive() and time.monotonic() < end:
        gc.collect()  # the thread may just be telling, and hold it
        thread.join(0.1)
    assert not thread.is_alive()
