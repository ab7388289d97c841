"""``/status`` shows the stack at work, without JavaScript."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.shop.browser.conftest import NewPage
from tests.shop.browser.needs import playwright
from tests.support.stacks.local import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = playwright().expect

# Requests in which four workers have all come by, surely.
_RELOADS = 32


def _workers(stack: Stack) -> set[str]:
    return {f"{name}/{pid}" for name in stack.replicas() for pid in stack.workers(name)}


def _everyone_served(page: Page, stack: Stack) -> None:
    """Reload until each worker has served this browser, in a bounded number of requests."""
    everyone = _workers(stack)
    for _ in range(_RELOADS):
        page.goto("/status?pause")
        everyone.discard(page.locator("footer strong").inner_text())
        if not everyone:
            return
    raise AssertionError(f"never served by {everyone}")


def test_every_worker_is_shown(page: Page, stack: Stack) -> None:
    """Each worker has its line, with its requests, and this browser's way crosses all of them."""
    _everyone_served(page, stack)
    shown = (
        page.get_by_role("region", name="Workers", exact=True).locator("tbody th").all_inner_texts()
    )
    assert _workers(stack) <= set(shown)
    picture = page.locator("svg.wide")
    assert _workers(stack) <= set(picture.locator(".who").all_text_contents())
    for _ in range(_RELOADS):
        heights = {dot.get_attribute("cy") for dot in picture.locator(".dot").all()}
        if len(heights) == len(_workers(stack)):
            break
        # The picture goes back only so far, and workers that are busy elsewhere come by less often.
        page.goto("/status?pause")
    else:
        raise AssertionError(f"{_RELOADS} pictures, none with a way across all workers")


def test_last_requests_of_this_browser(page: Page) -> None:
    """The requests are listed with what was asked, latest first; another browser's are not."""
    page.goto("/status?pause")
    page.goto("/cart")
    page.get_by_role("link", name="Status").click()
    page.goto("/status?pause")
    region = page.get_by_role("region", name="Your last requests", exact=True)
    expect(region).to_contain_text("GET /cart")
    last = region.locator("tbody tr").locator("td:last-child").first
    assert last.inner_text() == page.locator("footer strong").inner_text()


def test_page_refreshes(page: Page) -> None:
    """The page refreshes itself without JavaScript, until the visitor pauses it."""
    page.goto("/status")
    seen = page.locator("footer").inner_text()
    expect(page.locator("footer")).not_to_have_text(seen, timeout=15_000)
    page.get_by_role("link", name="Pause").click()
    expect(page.get_by_role("link", name="Resume")).to_be_visible()
    assert page.locator("meta[http-equiv=refresh]").count() == 0


@pytest.fixture(name="guest")
def _guest(new_page: NewPage, own_stack: Stack) -> Iterator[Page]:
    """A visitor with tea in the cart of a stack that may be broken."""
    page = new_page(own_stack, java_script_enabled=False)
    page.goto("/")
    page.get_by_role("button", name="Add Sticky-rice tea to the cart").click()
    yield page
    page.context.close()


def test_killed_worker(guest: Page, own_stack: Stack) -> None:
    """A killed worker's line ends, another's begins, and the cart is as it was throughout."""
    _everyone_served(guest, own_stack)
    before = _workers(own_stack)
    killed = guest.locator("footer strong").inner_text()
    os.kill(int(killed.rpartition("/")[2]), signal.SIGKILL)
    guest.goto("/status")
    workers = guest.get_by_role("region", name="Workers", exact=True)
    expect(workers.get_by_role("row", name=killed)).to_contain_text("ended", timeout=15_000)
    guest.goto("/status?pause")
    _everyone_served(guest, own_stack)
    (born,) = _workers(own_stack) - before
    expect(workers.get_by_role("row", name=born)).not_to_contain_text("ended")
    told = guest.get_by_role("region", name="Kill one")
    expect(told).to_contain_text(f"{killed} ended")
    expect(told).to_contain_text(f"{born} replaced it")
    expect(told).to_contain_text("Your cart is unchanged: 1.")
    assert guest.get_by_text("In your cart").locator("xpath=..").inner_text().split()[-1] == "1"


def test_store_that_hangs(guest: Page, own_stack: Stack) -> None:
    """While the store hangs, the page is still there and says so; afterwards all is as before."""
    guest.goto("/status?pause")
    with own_stack.store_paused():
        guest.goto("/status?pause")
        expect(guest.get_by_role("region", name="Store")).to_contain_text("does not answer")
        expect(guest.locator(".facts")).to_contain_text("not reachable")
    guest.goto("/status")
    expect(guest.locator(".facts")).not_to_contain_text("not reachable", timeout=15_000)
