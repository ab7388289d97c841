"""`make loadtest ARGS=sweep`: a run for each number of replicas and workers and each worker class.

It runs its own stack beside the one of STATE_DIR, always of the local runtime, and shows how the
throughput of each worker class grows with its workers.
"""

import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from loadtest import machine
from loadtest.errors import LoadTestError
from loadtest.harness.course import surroundings
from loadtest.harness.run import Run
from loadtest.report import charts, pages
from loadtest.report.charts import Line
from loadtest.settings import Plan, Settings

_CLASSES = ("sync", "gthread", "gevent")
_DEFAULT = "replicas=1,2 workers=1,2,4 class=sync,gthread,gevent"
_MOST = 64
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
        """The number of workers of all replicas."""
        return self.replicas * self.workers

    def __str__(self) -> str:
        return (
            f"  {self.worker_class:8} {self.replicas} x {self.workers}  "
            f"{self.throughput:7,.0f} requests/s  p95 {self.p95_ms:6.1f} ms  "
            f"app {self.app_us:6,.0f} µs a request  {self.findings} findings"
        )


def make(settings: Settings, say: Callable[[str], None]) -> Path:
    """Make the runs and return the page; Ctrl-C ends the sweep with the runs made so far.

    Raises:
        LoadTestError: the stack did not start, or a run could not be made; those before it are in a
            page all the same.
    """
    axes = _axes(os.environ.get("SWEEP") or _DEFAULT)
    each = replace(settings, host=None, plan=_plan(settings))
    points: list[Point] = []
    broken: LoadTestError | None = None
    combinations = list(product(axes["class"], axes["replicas"], axes["workers"]))
    say(f"sweep: {len(combinations)} runs of {each.plan.duration:g} s, {each.plan.users} users")
    stack = _Stack(settings.state_dir / "sweep")
    try:
        for worker_class, replicas, workers in combinations:
            stack.up(worker_class, int(replicas), int(workers))
            run, _ = Run(replace(each, state_dir=stack.state_dir), lambda _: None).make()
            points.append(Point(
                worker_class, int(replicas), int(workers), run.throughput,
                run.total.percentiles["p95"], run.tiers["app"].cpu_us, sum(run.counts.values()),
                str(run.verdict.word),
            ))  # fmt: skip
            say(str(points[-1]))
    except KeyboardInterrupt:
        say("\nInterrupted: the report covers the runs made so far.")
    except LoadTestError as error:
        broken = error
    finally:
        stack.down()
    if not points:
        raise broken or LoadTestError("no run was made", "wait for the end of the first run")
    page = _write(settings.state_dir, points, each.plan)
    if broken:
        say(f"{page}\nThe report covers the {len(points)} runs made so far.")
        raise broken
    return page


class _Stack:
    """The stack of a sweep, controlled by the verbs of the kit."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self._port = str(machine.free_port())

    def up(self, worker_class: str, replicas: int, workers: int) -> None:
        self._verb("up", WORKER_CLASS=worker_class, REPLICAS=str(replicas), WORKERS=str(workers))

    def down(self) -> None:
        self._verb("down")

    def _verb(self, verb: str, **settings: str) -> None:
        # THREADS belongs to one worker class alone, and would stop the others.
        given = {name: value for name, value in os.environ.items() if name != "THREADS"}
        own = {
            "STATE_DIR": str(self.state_dir),
            "PORT": self._port,
            # In containers, COMPOSE_PROJECT_NAME could name a stack that is in use.
            "RUNTIME": "local",
            "PYTHONPATH": str(machine.CHECKOUT / "compose"),
        }
        done = subprocess.run(
            [sys.executable, "-m", "kit", verb],
            env={**given, **own, **settings}, cwd=machine.CHECKOUT, check=False,
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            output = (done.stderr or done.stdout)[-1500:].strip()
            raise LoadTestError(f"`make {verb}` of the sweep's own stack failed:\n{output}")


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
            raise LoadTestError(
                f"SWEEP={text}: {item!r} is not an axis with its values",
                f"for example SWEEP='{_DEFAULT}'",
            )
        axes[name] = values
    return {name: values.split(",") for name, values in axes.items()}


def _plan(settings: Settings) -> Plan:
    """Return the plan of each run: short, and without pauses unless they are given.

    Raises:
        LoadTestError: a setting is given that a sweep would have to ignore.
    """
    plan = settings.plan
    for given, why in (
        (settings.host and f"HOST={settings.host}", "loads its own stacks"),
        (plan.rate and f"RATE={plan.rate:g}", "is a closed loop, which keeps all workers busy"),
        (plan.shape != "steady" and f"SHAPE={plan.shape}", "loads each stack steadily"),
    ):
        if given:
            raise LoadTestError(
                f"cannot use {given}: a sweep {why}",
                f"leave {given.partition('=')[0]} out, or use it with `make loadtest` alone",
            )
    return replace(
        plan,
        users=plan.users if os.environ.get("USERS") else 32,
        duration=plan.duration if os.environ.get("DURATION") else 8.0,
        think=plan.think if os.environ.get("THINK") else 0.0,
    )


def _medians(points: Sequence[Point], name: str, figure: str) -> list[tuple[int, float]]:
    """Return the medians of a worker class by its number of workers."""
    mine = [point for point in points if point.worker_class == name]
    return [
        (size, statistics.median(getattr(each, figure) for each in mine if each.size == size))
        for size in sorted({each.size for each in mine})
    ]


def _write(state_dir: Path, points: Sequence[Point], plan: Plan) -> Path:
    """Keep the raw data, and return the page beside them."""
    folder = state_dir / "loadtest" / f"sweep-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder.mkdir(parents=True)
    on = surroundings(None)
    document = {"surroundings": asdict(on), "points": [asdict(point) for point in points]}
    (folder / "sweep.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    throughput, cpu = (
        [
            Line(name, _TONES[name], _medians(points, name, figure))
            for name in dict.fromkeys(point.worker_class for point in points)
        ]
        for figure in ("throughput", "app_us")
    )
    return pages.write(
        folder / "sweep.html", "sweep.html", points=points, plan=plan, machine=on.machine,
        throughput=charts.lines(
            throughput, title="Throughput against workers", x_unit="workers in all"
        ),
        cpu=charts.lines(cpu, title="CPU per request against workers", x_unit="workers in all"),
    )  # fmt: skip
