"""What a guest does in the shop, without JavaScript."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.conftest import NewPage
from tests.browser.needs import playwright

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = playwright().expect


def test_filling_a_cart(page: Page) -> None:
    """A guest fills the cart, changes it and empties it, on whatever workers answer."""
    page.goto("/")
    page.get_by_label("How many of Sticky-rice tea").fill("2")
    page.get_by_role("button", name="Add Sticky-rice tea to the cart").click()
    expect(page.get_by_role("status")).to_contain_text("Sticky-rice tea is in the cart, 2 of it.")
    page.get_by_role("button", name="Add Forest honey to the cart").click()
    page.get_by_role("navigation").get_by_role("link", name="Cart").click()
    expect(page.get_by_role("row", name="Total of 3")).to_contain_text("€32.10")
    page.get_by_label("How many of Sticky-rice tea").fill("1")
    page.get_by_role("button", name="Set the quantity of Sticky-rice tea").click()
    expect(page.get_by_role("row", name="Total of 2")).to_contain_text("€20.50")
    page.get_by_role("button", name="Remove Forest honey").click()
    expect(page.get_by_role("row", name="Total of 1")).to_contain_text("€11.60")
    page.get_by_role("button", name="Empty the cart").click()
    expect(page.get_by_text("Nothing has stuck yet.")).to_be_visible()


def test_reloading_adds_nothing(page: Page) -> None:
    """Reloading after an add, or going back, adds nothing a second time."""
    page.goto("/")
    page.get_by_role("button", name="Add Soft toffee to the cart").click()
    page.reload()
    page.go_back()
    page.goto("/cart")
    expect(page.get_by_role("row", name="Total of 1")).to_be_visible()


def test_two_windows(page: Page) -> None:
    """Two windows of one browser that add in turn share one cart."""
    other = page.context.new_page()
    for window in (page, other, page, other):
        window.goto("/")
        window.get_by_role("button", name="Add Paper tape to the cart").click()
    page.goto("/cart")
    expect(page.get_by_label("How many of Paper tape")).to_have_value("4")


def test_pictures(new_page: NewPage, pictures: Path | None) -> None:
    """The README's pictures show the pages as they are, on a desk by day and a phone by night."""
    for scheme, width, height, name in (("light", 1200, 900, "status"), ("dark", 390, 844, "cart")):
        page = new_page(color_scheme=scheme, viewport={"width": width, "height": height})
        page.goto("/status?pause")
        page.goto("/")
        for product in ("Sticky-rice tea", "Forest honey", "Maple syrup"):
            page.get_by_role("button", name=f"Add {product} to the cart").click()
        for path in ("/", "/cart") * 8:
            page.goto(path)
        page.goto(f"/{name}?pause")
        expect(page.locator("h1")).to_be_in_viewport()
        if pictures:
            page.screenshot(path=pictures / f"{name}.png")
