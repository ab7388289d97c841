"""The load test's report on small screens."""

from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from loadtest.report import charts, pages

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_LETTERS = """texts => texts.map(text => text.getBoundingClientRect().height)"""


def test_pictures_can_be_read_on_a_phone(chromium: "Browser", tmp_path: Path) -> None:
    """A picture as wide as a phone keeps letters that are high enough; nothing runs out of it."""
    drawn = [charts.Line("p95", "c1", [(0.0, 1.0), (9.0, 1000.0)])]
    picture = charts.lines(drawn, title="Latency", x_unit="s")
    pair = Markup('<div class="pair"><div>{0}</div><div>{0}</div></div>').format(picture)
    page = pages.write(
        tmp_path / "report.html", "compare.html", runs=[], header=[], rows=[], notes=[],
        charts={"requests": picture, "p95": pair},
    )  # fmt: skip
    shown = chromium.new_page(viewport={"width": 360, "height": 640})
    try:
        shown.goto(page.as_uri())
        assert min(shown.locator("svg text").evaluate_all(_LETTERS)) >= 9
        section = shown.locator("section").last
        assert section.evaluate("box => box.scrollWidth <= box.clientWidth")
    finally:
        shown.close()
