"""The pages serve everyone: checked by axe-core, by the keyboard, and on a small screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser import axe
from tests.browser.conftest import NewPage
from tests.browser.needs import playwright

if TYPE_CHECKING:
    from playwright.sync_api import Page

playwright()

# `/status` is checked while it stands still: it offers that to those whom refreshing disturbs.
_PAGES = ("/", "/cart", "/status?pause", "/none")

_CONTROLS = "[...document.querySelectorAll('a, button, input:not([type=hidden])')]"

_PHONE = {"width": 320, "height": 640}

# Whatever covers a control, or cuts it off, is met at its edge. Not scrollIntoView(): it also
# scrolls what cuts off, which nobody else can.
_OUT_OF_REACH = f"""{_CONTROLS}.filter(control => !control.closest('.skip')).filter(control => {{
  window.scrollBy(0, control.getBoundingClientRect().top - 300);
  const box = control.getBoundingClientRect();
  return [box.left + 4, box.right - 4].some(x =>
    !control.contains(document.elementFromPoint(x, (box.top + box.bottom) / 2)));
}}).map(control => control.outerHTML)"""


def _with_a_cart(page: Page) -> Page:
    page.goto("/")
    page.get_by_role("button", name="Add Sticky-rice tea to the cart").click()
    return page


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("path", _PAGES)
def test_axe(new_page: NewPage, axe_source: str, path: str, color_scheme: str) -> None:
    """The checker finds nothing: names, labels, contrast, structure; light and dark."""
    page = _with_a_cart(new_page(color_scheme=color_scheme))
    page.goto(path)
    assert axe.violations(page, axe_source) == []


@pytest.mark.parametrize("path", _PAGES)
def test_a_small_screen(new_page: NewPage, path: str) -> None:
    """On 320 pixels nothing has to be scrolled sideways (WCAG 2.2, 1.4.10), nothing is cut off."""
    page = _with_a_cart(new_page(viewport=_PHONE))
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= _PHONE["width"]
    assert page.evaluate(_OUT_OF_REACH) == []


@pytest.mark.parametrize("path", _PAGES)
def test_the_keyboard(new_page: NewPage, path: str) -> None:
    """The tab key reaches every link, field and button in the order of the page, visibly."""
    page = _with_a_cart(new_page())
    page.goto(path)
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
