"""Users and buyers of the shop under load."""

from tests.support.stacks.loadtests import run
from tests.support.stacks.local import Stack

_ONLY = "Shopper=0 TwoTabs=0 Bot=0 AnonymousBrowser=0"


def test_carts_come_along_and_orders_are_made_once(stack: Stack) -> None:
    """Users log in and out while guests check out, and nothing is lost or doubled."""
    ran = run(stack, JOURNEYS=f"{_ONLY} Member=1 Buyer=2", DURATION="5s")
    assert ran.document["journeys"] == {
        "weights": {"Member": 1, "Buyer": 2}, "skipped": {}, "users": [], "unknown": [],
    }, ran.printed  # fmt: skip
    assert set(ran.document["findings"].values()) == {0}, ran.printed
    assert ran.document["total"]["errors"] == 0, ran.printed
    asked = {endpoint["name"] for endpoint in ran.document["endpoints"]}
    assert {"POST /api/login", "POST /api/logout", "POST /api/checkout", "GET /api/orders"} <= asked


def test_a_shop_without_users_skips_the_journey(stack: Stack) -> None:
    """Without users the journey that logs in is skipped, and the run says so."""
    ran = run(stack, JOURNEYS=f"{_ONLY} Bot=1", ACCOUNTS="nobody:none", DURATION="1s")
    assert ran.status == 0, ran.printed
    said = "skipped    Member: the target does not offer accounts (POST /api/login as nobody"
    assert f"{said} answered 401)" in ran.printed


def test_a_limited_login_is_said(stack: Stack) -> None:
    """After too many wrong passwords the run says that this is why no user logs in."""
    visitor = stack.browser()
    try:
        while visitor.log_in("linus", "wrong").status != 429:
            pass
        ran = run(stack, JOURNEYS=f"{_ONLY} Bot=1", ACCOUNTS="linus:linus", DURATION="1s")
    finally:
        with stack.store() as store:
            store.delete(*store.scan_iter("shop:*:failures"))
    assert "POST /api/login as linus answered 429, Retry-After: " in ran.printed
