"""The report of one run: one page, made from the run's result alone."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from loadtest.harness import balance
from loadtest.harness.endpoint import POINTS
from loadtest.harness.figures import Second
from loadtest.harness.result import RunResult
from loadtest.harness.stack import Event
from loadtest.report import charts, pages
from loadtest.report.charts import Bar, Line, Mark
from loadtest.report.terminal import MB, UNCORRECTED

_MOST_POINTS = 240
# The share of a chart that a number takes.
_APART = 0.04
_TONES = {"app": "c1", "nginx": "c2", "store": "c3", "load generator": "c4"}


def write(folder: Path, result: RunResult) -> Path:
    """Write the report into the run's folder, and return its file."""
    return pages.write(
        folder / "report.html",
        "run.html",
        run=result,
        endpoints=[*result.endpoints, result.total],
        charts=_charts(result),
        points=[f"p{point:g}" for point in POINTS],
        sent=[f"{point} uncorrected" for point in UNCORRECTED] if result.arrivals else [],
        events=[
            (place, f"{event.at:.1f}", _described(event), event.detail)
            for place, event in enumerate(result.events, 1)
        ],
        replicas=balance.by_replica(result.workers),
        seconds_a_point=_width(result.timeline),
        MB=MB,
    )


def series(timeline: Sequence[Second], name: str) -> list[tuple[float, float]]:
    """Return one figure over the seconds of a run, without those that have none."""
    found = [(each.second, getattr(each, name)) for each in timeline]
    return [(second, value) for second, value in found if value is not None]


def _charts(result: RunResult) -> dict[str, Markup]:
    timeline, marks = _thinned(result.timeline), _event_marks(result)
    limit = result.profile.limits("*").get("p95")
    served = [
        Line("requests a second", "c1", series(timeline, "requests"), is_filled=True),
        Line("of them errors", "bad", series(timeline, "errors")),
    ]
    latency = [
        Line(name, tone, series(timeline, name))
        for name, tone in (("p50", "c4"), ("p95", "c2"), ("p99", "c3"))
    ]
    total = result.total.percentiles
    # In the small charts, names would overlap.
    bare = [Mark(mark.at, "") for mark in marks]
    cores, memory = (
        [
            Line(tier, _TONES.get(tier, "c5"),
                 [(each.second, getattr(each, name) / scale) for each in readings])
            for tier, readings in result.usage.items()
        ]
        for name, scale in (("cores", 1), ("memory", MB))
    )  # fmt: skip
    commands = sorted(result.store.items(), key=lambda item: -item[1])[:12]
    return {
        "served": charts.lines(
            served, title="Requests a second over time", x_unit="s", marks=marks
        ),
        "latency": charts.lines(
            latency, title="Latency over time", x_unit="s", marks=marks,
            limit=(limit, f"p95 limit {limit:g} ms") if limit else None,
        ),
        "distribution": charts.histogram(
            result.distribution, [(name, total[name]) for name in ("p50", "p95", "p99")]
        ),
        "workers": _worker_bars(result),
        "cores": charts.lines(cores, title="Cores in use over time", x_unit="s", marks=bare),
        "memory": charts.lines(memory, title="Memory over time", x_unit="s", marks=bare),
        "commands": charts.bars(
            [Bar(name, count, f"{count:.2f}") for name, count in commands],
            title="Store commands a request",
        ),
    }  # fmt: skip


def _event_marks(result: RunResult) -> list[Mark]:
    """Return a line for each event, with its number in the list; neighbours share one number."""
    groups: list[list[tuple[int, Event]]] = []
    for place, event in enumerate(result.events, 1):
        if groups and event.at - groups[-1][0][1].at < result.seconds * _APART:
            groups[-1].append((place, event))
        else:
            groups.append([(place, event)])
    marks = []
    for (first, event), *others in groups:
        marks.append(Mark(event.at, f"{first}–{others[-1][0]}" if others else str(first)))
        marks += [Mark(other.at, "") for _, other in others]
    return marks


def _described(event: Event) -> str:
    """Return an event in words; a deployment by what it deployed."""
    if event.kind in {"changed", "started"} and event.target == "stack":
        code = str(event.detail).rpartition(", ")[2]
        return f"{'deployed' if event.kind == 'changed' else 'started'} {code}"
    return f"{event.kind} {event.target}"


def _worker_bars(result: RunResult) -> Markup:
    total = sum(result.workers.values()) or 1
    tones: dict[str, str] = {}
    for worker in result.workers:
        tones.setdefault(balance.replica_of(worker), f"c{len(tones) % 5 + 1}")
    bars = [
        Bar(worker, count, f"{count:,} ({count / total:.1%})", tones[balance.replica_of(worker)])
        for worker, count in result.workers.items()
    ]
    even = total / max(len(bars), 1)
    return charts.bars(bars, title="Requests per worker", even=even)


def _width(timeline: Sequence[Second]) -> int:
    """Return how many seconds a point of a chart covers."""
    return max(1, -(-len(timeline) // _MOST_POINTS))


def _thinned(timeline: Sequence[Second]) -> list[Second]:
    """Put seconds together until a chart can show them: means of counts, maxima of latencies."""
    width = _width(timeline)
    parts = [timeline[start : start + width] for start in range(0, len(timeline), width)]
    return [
        Second(
            part[0].second,
            statistics.mean(each.requests for each in part),
            statistics.mean(each.errors for each in part),
            *(max((value for _, value in series(part, name)), default=None)
              for name in ("p50", "p95", "p99")),
        )
        for part in parts
    ]  # fmt: skip
