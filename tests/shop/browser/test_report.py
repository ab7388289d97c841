"""The load test's report on small screens."""

from typing import TYPE_CHECKING

from runs import charts, page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_LETTERS = """texts => texts.map(text => text.getBoundingClientRect().height)"""


def test_pictures_can_be_read_on_a_phone(chromium: "Browser") -> None:
    """A picture as wide as a phone keeps letters that are high enough; nothing runs out of it."""
    drawn = [charts.Line("p95", "c1", [(0.0, 1.0), (9.0, 1000.0)])]
    picture = charts.lines(drawn, title="Latency", x_unit="s")
    pair = f'<div class="pair"><div>{picture}</div><div>{picture}</div></div>'
    shown = chromium.new_page(viewport={"width": 360, "height": 640})
    try:
        shown.set_content(page.shell("Report", [page.section("Latency", picture, pair)]))
        assert min(shown.locator("svg text").evaluate_all(_LETTERS)) >= 9
        section = shown.locator("section")
        assert section.evaluate("box => box.scrollWidth <= box.clientWidth")
    finally:
        shown.close()
