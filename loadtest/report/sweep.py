"""`make sweep`: a run for each number of replicas and workers and each worker class.

It runs a stack of its own beside the one of STATE_DIR, always of the local runtime, fits the
Universal Scalability Law to the throughput of each worker class, and names the knee.
"""

import json
import os
import re
import socket
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from html import escape
from itertools import product
from pathlib import Path

from runs import charts, page, surroundings, usl
from runs.charts import Line, Mark, number
from runs.errors import RunError
from runs.options import LOADTEST, Options
from runs.run import Run

_CLASSES = ("sync", "gthread", "gevent")
_DEFAULT = "replicas=1,2 workers=1,2,4 class=sync,gthread,gevent"
_MOST = 64
_ENOUGH = 0.95
_TONES = {"sync": "c1", "gthread": "c2", "gevent": "c4"}


@dataclass(frozen=True)
class Point:
    """One run of a sweep."""

    worker_class: str
    replicas: int
    workers: int
    throughput: float
    p95_ms: float
    app_us: float
    findings: int
    verdict: str

    @property
    def size(self) -> int:
        """How many workers there were in all."""
        return self.replicas * self.workers


def make(options: Options, say: Callable[[str], None]) -> Path:
    """Make the runs and return the report; Ctrl-C ends it with the runs made so far.

    Raises:
        RunError: the stack did not start, or a run could not be made; those before it are in a
            report all the same.
    """
    axes = _axes(os.environ.get("SWEEP") or _DEFAULT)
    each = _each(options)
    points: list[Point] = []
    broken: RunError | None = None
    combinations = list(product(axes["class"], axes["replicas"], axes["workers"]))
    say(f"sweep: {len(combinations)} runs of {each.duration:g} s, {each.users} users")
    with_stack = _Stack(options.state_dir / "sweep")
    try:
        for worker_class, replicas, workers in combinations:
            with_stack.up(worker_class, int(replicas), int(workers))
            run = Run(replace(each, state_dir=with_stack.state_dir), lambda _: None).make()
            total, tiers = run.document["total"], run.document["tiers"]
            points.append(Point(
                worker_class, int(replicas), int(workers), run.document["throughput"],
                total["percentiles"]["p95"], tiers["app"]["cpu_us"],
                sum(run.document["findings"].values()), str(run.verdict.word),
            ))  # fmt: skip
            say(_line(points[-1]))
    except KeyboardInterrupt:
        say("\nInterrupted: the report covers the runs made so far.")
    except RunError as error:
        broken = error
    finally:
        with_stack.down()
    if not points:
        raise broken or RunError("Not one run was made.", "Let it run to the end of the first.")
    for name, told in _knees(points).items():
        say(f"  {name:8} {told}")
    page = _keep(options.state_dir, points, each)
    if broken:
        say(f"{page}\nThe report covers the {len(points)} runs made so far.")
        raise broken
    return page


class _Stack:
    """The stack of a sweep, by the verbs of the kit."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = str(probe.getsockname()[1])

    def up(self, worker_class: str, replicas: int, workers: int) -> None:
        self._verb("up", WORKER_CLASS=worker_class, REPLICAS=str(replicas), WORKERS=str(workers))

    def down(self) -> None:
        self._verb("down")

    def _verb(self, verb: str, **settings: str) -> None:
        # A setting of the caller's that belongs to one worker class alone would stop the others.
        given = {name: value for name, value in os.environ.items() if name != "THREADS"}
        own = {
            "STATE_DIR": str(self.state_dir),
            "PORT": self._port,
            # In containers, COMPOSE_PROJECT_NAME could make it somebody's running stack.
            "RUNTIME": "local",
            "PYTHONPATH": str(LOADTEST.parent / "compose"),
        }
        done = subprocess.run(
            [sys.executable, "-m", "kit", verb],
            env={**given, **own, **settings}, cwd=LOADTEST.parent, check=False,
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            words = (done.stderr or done.stdout)[-1500:]
            raise RunError(
                f"`make {verb}` of the sweep's own stack failed:\n{words}",
                "Mend what it names.",
            )


def _axes(text: str) -> Mapping[str, Sequence[str]]:
    axes = dict(re.findall(r"(\w+)=([\w,]+)", _DEFAULT))
    for item in text.split():
        name, _, values = item.partition("=")
        numbers = name != "class"
        good = name in axes and all(
            (v.isdecimal() and 1 <= int(v) <= _MOST) if numbers else v in _CLASSES
            for v in values.split(",")
        )
        if not good:
            raise RunError(
                f"SWEEP={text}: {item!r} is no axis with its values.",
                f"For example: SWEEP='{_DEFAULT}'",
            )
        axes[name] = values
    return {name: values.split(",") for name, values in axes.items()}


def _each(options: Options) -> Options:
    """Return the options of one run: short, and with no pauses unless they are asked for.

    Raises:
        RunError: something is asked for that a sweep would have to drop.
    """
    for given, why in (
        (options.host and f"HOST={options.host}", "loads stacks of its own"),
        (options.rate and f"RATE={options.rate:g}", "is a closed loop, which finds the knee"),
        (options.shape != "steady" and f"SHAPE={options.shape}", "loads each stack steadily"),
    ):
        if given:
            raise RunError(
                f"{given} is set, and a sweep {why}.",
                f"Leave {given.partition('=')[0]} away, or use it with `make loadtest`.",
            )
    return replace(
        options,
        users=options.users if os.environ.get("USERS") else 32,
        duration=options.duration if os.environ.get("DURATION") else 8.0,
        think=options.think if os.environ.get("THINK") else 0.0,
    )


def _line(point: Point) -> str:
    return (
        f"  {point.worker_class:8} {point.replicas} x {point.workers}  "
        f"{point.throughput:7,.0f} requests/s  p95 {point.p95_ms:6.1f} ms  "
        f"app {point.app_us:6,.0f} µs a request  {point.findings} findings"
    )


def _by_size(points: Sequence[Point], worker_class: str, value: str) -> list[tuple[float, float]]:
    """Return (workers in all, median of a figure) of one worker class."""
    found: dict[int, list[float]] = defaultdict(list)
    for point in points:
        if point.worker_class == worker_class:
            found[point.size].append(getattr(point, value))
    return [(size, statistics.median(values)) for size, values in sorted(found.items())]


def _knees(points: Sequence[Point]) -> dict[str, str]:
    """Return for each worker class where its knee is, in words."""
    told = {}
    for name in dict.fromkeys(point.worker_class for point in points):
        measured = _by_size(points, name, "throughput")
        greatest = max(throughput for _, throughput in measured)
        knee, reached = next(p for p in measured if p[1] >= _ENOUGH * greatest)
        law = usl.fit(measured)
        text = f"knee at {knee:g} worker{'s' if knee > 1 else ''}, {reached:,.0f} requests/s"
        if law:
            peak = "none" if law.peak > _MOST else f"at {law.peak:.1f}"
            text += f"; law: contention {law.contention:.3f}, coherency {law.coherency:.4f}"
            text += f", peak {peak}"
        told[name] = text
    return told


def _keep(state_dir: Path, points: Sequence[Point], each: Options) -> Path:
    folder = state_dir / "loadtest" / f"sweep-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder.mkdir(parents=True)
    around = surroundings.describe(None)
    document = {"surroundings": around, "points": [asdict(point) for point in points]}
    (folder / "sweep.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    path = folder / "sweep.html"
    path.write_text(_page(points, each, str(around["machine"])), encoding="utf-8")
    return path


def _page(points: Sequence[Point], each: Options, machine: str) -> str:
    classes = list(dict.fromkeys(point.worker_class for point in points))
    throughput, cpu = [], []
    marks = []
    for name in classes:
        tone, measured = _TONES[name], _by_size(points, name, "throughput")
        throughput.append(Line(name, tone, measured))
        cpu.append(Line(name, tone, _by_size(points, name, "app_us")))
        if law := usl.fit(measured):
            last = measured[-1][0]
            curve = [1 + (last - 1) * step / 60 for step in range(61)]
            drawn = [(size, law.throughput(size)) for size in curve]
            throughput.append(Line(f"{name}, law", tone, drawn, is_dotted=True))
        greatest = max(value for _, value in measured)
        marks.append(Mark(next(s for s, v in measured if v >= _ENOUGH * greatest), f"knee, {name}"))
    rows = [
        [
            escape(p.worker_class), f"{p.replicas} x {p.workers}", number(p.throughput),
            number(p.p95_ms), number(p.app_us),
            f'<td class="bad">{p.findings}</td>' if p.findings else "0",
        ]
        for p in points
    ]  # fmt: skip
    knees = "".join(
        f"<p><b>{escape(name)}</b>: {escape(text)}.</p>" for name, text in _knees(points).items()
    )
    head = (
        f'<div class="verdict"><h1>Where more workers stop helping</h1>{knees}'
        f'<p class="soft">{escape(machine)} · {each.users} users, {each.think * 1000:.0f} ms '
        f"between their requests, {each.duration:g} s a run · the load generator shares the "
        "machine, so that the knee comes earlier than it would without it</p></div>"
    )
    if len({mark.at for mark in marks}) == 1:
        marks = [Mark(marks[0].at, "knee")]
    return page.shell(
        "Sweep",
        [
            head,
            page.section(
                "Throughput against workers, requests a second",
                charts.legend(throughput),
                charts.lines(
                    throughput, title="Throughput against workers", x_unit="workers in all",
                    marks=marks,
                ),
                '<p class="soft">Dotted: the Universal Scalability Law, fitted. The knee is the '
                "smallest number of workers with 95 % of the greatest throughput.</p>",
            ),
            page.section(
                "CPU of the application for each request, µs",
                charts.legend(cpu),
                charts.lines(cpu, title="CPU per request against workers", x_unit="workers in all"),
            ),
            page.section(
                "All runs",
                page.table(("class", "replicas x workers", "requests/s", "p95 ms", "app µs",
                            "findings"), rows),
            ),
        ],
    )  # fmt: skip
