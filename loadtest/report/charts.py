"""Charts as inline SVG. The page sets their colours, so that they follow light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 760.0, 230.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 14.0, 22.0, 30.0
_TICKS = 5
_THOUSAND = 1000


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
    is_dotted: bool = False


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
    ticks = _ticks(y_high)
    frame = _Frame(x_low, max(x_high, x_low + 1e-9), ticks[-1])
    parts = [_legend(drawn), _open(title), *_grid(frame, ticks), *_x_axis(frame, x_unit)]
    for line in drawn:
        path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in line.points)
        if line.is_filled and line.points:
            first, last = frame.x(line.points[0][0]), frame.x(line.points[-1][0])
            floor = frame.y(0)
            parts.append(
                f'<polygon class="area {line.tone}" '
                f'points="{first:.1f},{floor:.1f} {path} {last:.1f},{floor:.1f}"/>'
            )
        dotted = " dotted" if line.is_dotted else ""
        parts.append(f'<polyline class="line {line.tone}{dotted}" points="{path}"/>')
        if len(line.points) <= 40:
            parts += [
                f'<circle class="{line.tone}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3">'
                f"<title>{escape(line.label)}: {number(y)} at {number(x)} {escape(x_unit)}</title>"
                "</circle>"
                for x, y in line.points
            ]
    if limit and limit[0] <= ticks[-1]:
        y = frame.y(limit[0])
        parts.append(
            f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="limit" x="{_WIDTH - _RIGHT}" y="{y - 4:.1f}" text-anchor="end">'
            f"{escape(limit[1])}</text>"
        )
    parts += _marks(frame, marks)
    return markup("".join([*parts, "</svg>"]))


def histogram(
    bins: Sequence[tuple[float, float, int]], points: Sequence[tuple[str, float]]
) -> Markup:
    """Return the distribution of latencies on a logarithmic axis, with `points` marked on it."""
    if not bins:
        return Markup()
    low, high = math.log10(bins[0][0]), math.log10(bins[-1][1])
    ticks = _ticks(max(count for _, _, count in bins))
    frame = _Frame(low, high, ticks[-1])
    parts = [_open("Distribution of latencies"), *_grid(frame, ticks)]
    for start, end, count in bins:
        left, right = frame.x(math.log10(start)), frame.x(math.log10(end))
        top = frame.y(count)
        width, height = max(right - left - 1, 0.5), frame.y(0) - top
        parts.append(
            f'<rect class="c1" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}"><title>{start:.3g} to {end:.3g} ms: {count:,} requests'
            "</title></rect>"
        )
    for decade in range(math.floor(low), math.ceil(high) + 1):
        for step in (1, 2, 5):
            value = step * 10.0**decade
            if low <= math.log10(value) <= high:
                parts.append(_x_label(frame.x(math.log10(value)), f"{value:g}"))
    parts.append(_unit("ms, logarithmic"))
    parts += _marks(
        frame, [Mark(math.log10(max(value, 1e-3)), name) for name, value in points if value > 0]
    )
    return markup("".join([*parts, "</svg>"]))


def bars(drawn: Sequence[Bar], *, title: str, even: float | None = None) -> Markup:
    """Return horizontal bars; `even` is a vertical line at that value."""
    if not drawn:
        return Markup()
    row, left, right = 26.0, 150.0, 150.0
    most = max([bar.value for bar in drawn] + ([even] if even else [])) or 1.0
    height = row * len(drawn) + 8
    scale = (_WIDTH - left - right) / most
    parts = [f'<svg viewBox="0 0 {_WIDTH:g} {height:g}" role="img" aria-label="{escape(title)}">']
    for place, bar in enumerate(drawn):
        y = place * row + 4
        parts.append(
            f'<text x="{left - 10}" y="{y + 15}" text-anchor="end">{escape(bar.label)}</text>'
            f'<rect class="{bar.tone}" x="{left}" y="{y + 2}" rx="3" height="{row - 9}" '
            f'width="{max(bar.value * scale, 1):.1f}"/>'
            f'<text x="{left + max(bar.value * scale, 1) + 8:.1f}" y="{y + 15}">'
            f"{escape(bar.shown)}</text>"
        )
    if even:
        x = left + even * scale
        parts.append(f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height:g}"/>')
    return markup("".join([*parts, "</svg>"]))


def markup(text: str) -> Markup:
    """Return a text as markup; the caller has escaped what it holds."""
    return Markup(text)  # noqa: S704 (see above)


def number(value: float) -> str:
    """Return a number with three significant digits, or with commas from 1,000 on."""
    if abs(value) >= _THOUSAND:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _legend(drawn: Sequence[Line]) -> str:
    if len(drawn) == 1:
        return ""
    return (
        '<p class="legend">'
        + "".join(f'<span class="{line.tone}">{escape(line.label)}</span>' for line in drawn)
        + "</p>"
    )


@dataclass(frozen=True)
class _Frame:
    x_low: float
    x_high: float
    y_high: float

    def x(self, value: float) -> float:
        share = (value - self.x_low) / (self.x_high - self.x_low)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self.y_high * (_HEIGHT - _TOP - _BOTTOM)


def _ticks(high: float) -> list[float]:
    """Return round numbers from 0 to at least ``high``."""
    raw = max(high, 1e-6) / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    return [step * place for place in range(max(math.ceil(high / step - 1e-9), 1) + 1)]


def _open(title: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(title)}">'


def _grid(frame: _Frame, ticks: Sequence[float]) -> list[str]:
    return [
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{frame.y(tick):.1f}" '
        f'y2="{frame.y(tick):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{frame.y(tick) + 4:.1f}" text-anchor="end">{number(tick)}</text>'
        for tick in ticks
    ]


def _x_axis(frame: _Frame, unit: str) -> list[str]:
    span = frame.x_high - frame.x_low
    step = _ticks(span)[1]
    first = math.ceil(frame.x_low / step - 1e-9) * step
    count = int((frame.x_high - first) / step + 1e-9) + 1
    values = [first + step * place for place in range(count)]
    return [_x_label(frame.x(value), number(value)) for value in values] + [_unit(unit)]


def _x_label(x: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{text}</text>'


def _unit(text: str) -> str:
    return (
        f'<text class="unit" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 2}" text-anchor="end">'
        f"{escape(text)}</text>"
    )


def _marks(frame: _Frame, marks: Sequence[Mark]) -> list[str]:
    parts = []
    for mark in marks:
        x = min(max(frame.x(mark.at), _LEFT), _WIDTH - _RIGHT)
        # Near the right edge, the name stands on the left side.
        is_late = x > _WIDTH - 120
        parts.append(
            f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 8}" '
            f'y2="{_HEIGHT - _BOTTOM}"/>'
            f'<text class="mark" x="{x + (-4 if is_late else 4):.1f}" y="{_TOP - 8}" '
            f'text-anchor="{"end" if is_late else "start"}">{escape(mark.label)}</text>'
        )
    return parts
