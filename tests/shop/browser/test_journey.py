"""What guests and users do in the shop, without JavaScript."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from tests.shop.browser.conftest import NewPage
from tests.shop.browser.needs import playwright
from tests.support.stacks.local import Stack

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
    expect(page.get_by_role("status")).to_be_visible()
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


def _log_in(page: Page, name: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name="Log in").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Password", exact=True).fill(name)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("link", name=f"Your account, {name}")).to_be_visible()


def _add(page: Page, product: str) -> None:
    page.goto("/")
    page.get_by_role("button", name=f"Add {product} to the cart").click()
    expect(page.get_by_role("status")).to_contain_text(product)


def test_from_guest_to_order(new_page: NewPage, own_stack: Stack) -> None:
    """A guest's cart comes along through the login and becomes one order, in every session.

    At the end a worker is killed: the user stays logged in, with the order, on another one.
    """
    desk, phone = (new_page(own_stack, java_script_enabled=False) for _ in range(2))
    _add(phone, "Maple syrup")
    _log_in(phone, "ada")
    _add(desk, "Forest honey")
    _add(desk, "Sticky-rice tea")
    desk.goto("/cart")
    _log_in(desk, "ada")
    expect(desk.get_by_role("row", name="Total of 2")).to_contain_text("€20.50")
    phone.goto("/cart")
    expect(phone.get_by_role("row", name="Total of 1")).to_contain_text("€12.50")

    desk.get_by_role("button", name="Order everything").dblclick()
    expect(desk.get_by_role("row", name="Total")).to_contain_text("€20.50")
    desk.reload()
    desk.go_back()
    for page in (desk, phone):
        page.goto("/orders")
        expect(page.get_by_role("article")).to_have_count(1)
        line = page.get_by_role("article").get_by_role("row", name="Forest honey")
        expect(line).to_have_accessible_name("1 × Forest honey €8.90")
    desk.goto("/cart")
    expect(desk.get_by_text("Nothing has stuck yet.")).to_be_visible()

    desk.goto("/status?pause")
    killed = desk.locator("footer strong").inner_text()
    os.kill(int(killed.rpartition("/")[2]), signal.SIGKILL)
    desk.goto("/status")
    expect(desk.get_by_role("region", name="Kill one")).to_contain_text(
        f"{killed} ended", timeout=15_000
    )
    expect(desk.locator(".facts")).to_contain_text("ada")
    desk.goto("/orders")
    expect(desk.get_by_role("article")).to_have_count(1)


def test_ending_the_other_session(new_page: NewPage) -> None:
    """A user ends the session of another browser, which is logged out at its next click."""
    here, there = (new_page(java_script_enabled=False) for _ in range(2))
    for page in (there, here):
        page.goto("/")
        _log_in(page, "grace")
    here.get_by_role("link", name="Your account, grace").click()
    expect(here.get_by_role("listitem").filter(has_text="this one")).to_have_count(1)
    there.goto("/status?pause")
    handle = there.get_by_text("in session").inner_text().split()[-1]
    here.get_by_role("listitem").filter(has_text=handle).get_by_role("button").click()
    expect(here.get_by_role("status")).to_contain_text("That session is ended.")
    expect(here.get_by_text(handle)).to_have_count(0)
    there.goto("/account")
    expect(there.get_by_role("button", name="Log in")).to_be_visible()
    here.get_by_role("button", name="Log out").click()
    expect(here.get_by_role("status")).to_contain_text("You are logged out here.")


def test_a_wrong_password(page: Page) -> None:
    """What is wrong has the focus at once, leads to the field, and the name need not be typed."""
    page.goto("/login?next=/orders")
    page.get_by_label("Name", exact=True).fill("linus")
    page.get_by_label("Password", exact=True).fill("torvalds")
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_title("Error: Log in · Unsticky")
    expect(page.get_by_role("alert")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    password = page.get_by_label("Password", exact=True)
    expect(password).to_be_focused()
    expect(password).to_have_accessible_description("The name or the password is wrong.")
    password.fill("linus")
    password.press("Enter")
    expect(page.get_by_role("heading", name="Each order, once.")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("Welcome, linus.")


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
