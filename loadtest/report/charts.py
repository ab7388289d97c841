"""Charts as inline SVG. The page sets their colours, so that they follow light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from loadtest.report import pages

_TICKS = 5


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Args:
        label: for the legend.
        tone: the name of a colour in `style.css`: `c1` to `c5`, `bad`.
        points: (x, y), in the order of x.
    """

    label: str
    tone: str
    points: Sequence[tuple[float, float]]
    is_filled: bool = False


@dataclass(frozen=True)
class Mark:
    """Something that happened at a moment: a vertical line with its name."""

    at: float
    label: str


@dataclass(frozen=True)
class Bar:
    """A horizontal bar."""

    label: str
    value: float
    shown: str
    tone: str = "c1"


@dataclass(frozen=True)
class Frame:
    """The scales of a chart, and where its edges are."""

    x_low: float
    x_high: float
    y_high: float
    width: float = 760
    height: float = 230
    left: float = 58
    right: float = 746
    top: float = 22
    bottom: float = 200

    def x(self, value: float) -> float:
        """Return the place of a value on the horizontal axis."""
        share = (value - self.x_low) / (self.x_high - self.x_low)
        return round(self.left + share * (self.right - self.left), 1)

    def y(self, value: float) -> float:
        """Return the place of a value on the vertical axis, which begins at 0."""
        return round(self.bottom - value / self.y_high * (self.bottom - self.top), 1)


def lines(
    drawn: Sequence[Line],
    *,
    title: str,
    x_unit: str,
    marks: Sequence[Mark] = (),
    limit: tuple[float, str] | None = None,
) -> Markup:
    """Return a line chart with its legend; `limit` is a horizontal line with its name."""
    points = [point for line in drawn for point in line.points]
    if not points:
        return Markup()
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_high = max(y for _, y in points)
    if limit and limit[0] <= y_high * 1.5:
        y_high = max(y_high, limit[0])
    ticks = _ticks(0, y_high)
    frame = Frame(x_low, max(x_high, x_low + 1e-9), ticks[-1])
    labels = [(x, pages.number(x)) for x in _ticks(x_low, x_high) if x < x_high + 1e-9]
    return pages.rendered(
        "lines.html", lines=drawn, title=title, frame=frame, ticks=ticks, labels=labels,
        unit=x_unit, limit=limit, marks=marks,
    )  # fmt: skip


def histogram(
    bins: Sequence[tuple[float, float, int]], points: Sequence[tuple[str, float]]
) -> Markup:
    """Return the distribution of latencies on a logarithmic axis, with `points` marked on it."""
    if not bins:
        return Markup()
    low, high = math.log10(bins[0][0]), math.log10(bins[-1][1])
    ticks = _ticks(0, max(count for _, _, count in bins))
    decades = range(math.floor(low), math.ceil(high) + 1)
    values = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    return pages.rendered(
        "histogram.html", frame=Frame(low, high, ticks[-1]), ticks=ticks,
        bins=[(math.log10(begin), math.log10(end), begin, end, count)
              for begin, end, count in bins],
        labels=[(math.log10(v), f"{v:g}") for v in values if low <= math.log10(v) <= high],
        marks=[Mark(math.log10(value), name) for name, value in points if value > 0],
    )  # fmt: skip


def bars(drawn: Sequence[Bar], *, title: str, even: float | None = None) -> Markup:
    """Return horizontal bars; `even` is a vertical line at that value."""
    if not drawn:
        return Markup()
    most = max([bar.value for bar in drawn] + ([even] if even else [])) or 1.0
    return pages.rendered("bars.html", bars=drawn, title=title, even=even, most=most)


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers from `low` to at least `high`, a multiple of their distance each."""
    raw = max(high - low, 1e-6) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    return [step * place for place in range(first, max(math.ceil(high / step - 1e-9), 1) + 1)]
