"""The pages serve everyone: checked by axe-core, by the keyboard, and on a small screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.shop.browser import axe
from tests.shop.browser.conftest import NewPage
from tests.shop.browser.needs import playwright

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.support.stacks.local import Stack

expect = playwright().expect

# Who is there, and where. `/status` is checked while it stands still: it offers that to those whom
# refreshing disturbs.
_PAGES = [
    *(("guest", path) for path in ("/", "/cart", "/login", "/orders", "/none")),
    *(("user", path) for path in ("/", "/cart", "/orders", "/orders/*", "/account")),
    ("user", "/status?pause"),
]

_CONTROLS = "[...document.querySelectorAll('a, button, input:not([type=hidden], [hidden])')]"

_PHONE = {"width": 320, "height": 640}

# Whatever covers a control, or cuts it off, is met at its edge. Not scrollIntoView(): it also
# scrolls what cuts off, which nobody else can. A link may take several lines, a box each.
_OUT_OF_REACH = f"""{_CONTROLS}.filter(control => !control.closest('.skip')).filter(control => {{
  window.scrollBy(0, control.getBoundingClientRect().top - 300);
  return [...control.getClientRects()].some(box => [box.left + 4, box.right - 4].some(x =>
    !control.contains(document.elementFromPoint(x, (box.top + box.bottom) / 2))));
}}).map(control => control.outerHTML)"""


Open = Callable[..., "Page"]


@pytest.fixture(name="visitors", scope="session")
def _visitors(chromium: Browser, stack: Stack) -> dict[str, Any]:
    """The cookies of a guest with a cart, and of a user with a cart, an order and two sessions."""
    base = f"http://127.0.0.1:{stack.port}"
    cookies = {}
    for name, logs_in in (("guest", False), ("user", True), ("user", True)):
        context = chromium.new_context(base_url=base)
        page = context.new_page()
        page.goto("/status?pause")
        if logs_in:
            page.goto("/login?next=/cart")
            page.get_by_label("Name", exact=True).fill("linus")
            page.get_by_label("Password", exact=True).fill("linus")
            page.get_by_role("button", name="Log in").click()
            expect(page.get_by_text("Welcome, linus.")).to_be_visible()
        for order in (logs_in, False):
            page.goto("/")
            page.get_by_role("button", name="Add Sticky-rice tea to the cart").click()
            expect(page.get_by_role("status")).to_be_visible()
            if order:
                page.goto("/cart")
                page.get_by_role("button", name="Order everything").click()
                expect(page.get_by_role("article")).to_be_visible()
        cookies[name] = context.storage_state()
        context.close()
    return cookies


@pytest.fixture(name="open_page")
def _open_page(new_page: NewPage, visitors: dict[str, Any]) -> Open:
    """Open a page as a guest or a user sees it."""

    def make(who: str, path: str, **options: Any) -> Page:
        page = new_page(storage_state=visitors[who], **options)
        page.goto(path.removesuffix("/*"))
        if path.endswith("/*"):
            page.get_by_role("article").get_by_role("link").first.click()
            expect(page.get_by_role("heading", name="Yours. It sticks.")).to_be_visible()
        return page

    return make


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize(("who", "path"), _PAGES)
def test_axe(open_page: Open, axe_source: str, who: str, path: str, color_scheme: str) -> None:
    """The checker finds nothing: names, labels, contrast, structure; light and dark."""
    page = open_page(who, path, color_scheme=color_scheme)
    assert axe.violations(page, axe_source) == []


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_axe_on_what_is_wrong(open_page: Open, axe_source: str, color_scheme: str) -> None:
    """The checker finds nothing in a form that is shown again with what is wrong."""
    page = open_page("user", "/account", color_scheme=color_scheme)
    for label in ("Current password", "New password", "New password again"):
        page.get_by_label(label, exact=True).fill("12345678")
    page.get_by_label("New password again").fill("87654321")
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_role("alert")).to_be_focused()
    assert axe.violations(page, axe_source) == []


@pytest.mark.parametrize(("who", "path"), _PAGES)
def test_a_small_screen(open_page: Open, who: str, path: str) -> None:
    """On 320 pixels nothing has to be scrolled sideways (WCAG 2.2, 1.4.10), nothing is cut off."""
    page = open_page(who, path, viewport=_PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= _PHONE["width"]
    assert page.evaluate(_OUT_OF_REACH) == []


@pytest.mark.parametrize(("who", "path"), _PAGES)
def test_the_keyboard(open_page: Open, who: str, path: str) -> None:
    """The tab key reaches every link, field and button in the order of the page, visibly."""
    page = open_page(who, path)
    controls = page.evaluate(f"{_CONTROLS}.length")
    page.evaluate("window.reached = []")
    for _ in range(controls):
        page.keyboard.press("Tab")
        page.evaluate("reached.push(document.activeElement)")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", page.evaluate("document.activeElement.outerHTML")
    assert page.evaluate(f"{_CONTROLS}.every((control, at) => control === reached[at])")


def test_the_skip_link(new_page: NewPage) -> None:
    """The first tab stop leads past the header, to the content."""
    page = new_page()
    page.goto("/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#main")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
