"""What the other visitors meet when one part of the stack fails.

``python -m tests.stack.outside.failures`` runs each case for some seconds on nginx, Gunicorn and
a store, and writes the table of docs/threat-model.md to standard output and the raw counts to
the file that ``--out`` names. ``--only`` chooses cases by a part of their name.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.stack.outside.stack_that_fails import Failing, in_background
from tests.stack.outside.visits import PAUSE, VISITORS, lost, visit
from tests.support.http.client import ask, serves
from tests.support.stacks.nginx import NGINX
from tests.support.waiting import wait_until

SECONDS: Final = 12.0
"""How long a case lasts."""

Disturb = Callable[[Failing], Any]


@contextmanager
def repeated(action: Callable[[], object], rate: float, seconds: float) -> Iterator[None]:
    """Repeat an action so many times a second, until the block ends or the time is over."""
    ended, times = threading.Event(), int(rate * seconds) + 1

    def repeat() -> None:
        for _ in range(times):
            action()
            if ended.wait(1 / rate):
                return

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@dataclass(frozen=True)
class Case:
    """One failure.

    Args:
        name: what fails.
        disturb: makes it fail, at most once; None if something else does.
        rate: how often a second `kill` happens.
        kill: kills a worker.
        parts: other arguments of `Failing`, and of `Failing.running`.
        seconds: how long the visitors come.
    """

    name: str
    disturb: Disturb | None = None
    rate: float = 0
    kill: Disturb | None = None
    replicas: int = 2
    workers: int = 2
    max_fails: int = 0
    slow: float = 0
    worker_class: str = "sync"
    seconds: float = SECONDS

    def measure(self) -> dict[str, Any]:
        """Run it; return what happened."""
        with (
            tempfile.TemporaryDirectory(prefix="fail-", ignore_cleanup_errors=True) as folder,
            ExitStack() as running,
        ):
            stack = Failing(Path(folder), self.replicas, self.workers, self.max_fails)
            running.enter_context(stack.running(self.slow, self.worker_class))
            boots = stack.workers_started()
            with ExitStack() as failing:
                failing.callback(stack.repair)
                if self.disturb:
                    self.disturb(stack)
                if self.kill:
                    kill = partial(self.kill, stack)
                    failing.enter_context(repeated(kill, self.rate, self.seconds))
                outcomes, visits = visit(stack.nginx.port, self.seconds)
            ended = time.monotonic()
            # Requests of death that still wait for a worker come first.
            wait_until(lambda: serves(stack.nginx.port, "/readyz"), "a stack that answers", 90)
            recovered = time.monotonic() - ended
            boots = stack.workers_started() - boots
            missing = lost(visits)
        return {
            "case": self.name,
            "shape": f"{self.replicas}×{self.workers} {self.worker_class}",
            "max_fails": self.max_fails,
            "seconds": self.seconds,
            "requests": outcomes.statuses.total(),
            "statuses": dict(sorted(outcomes.statuses.items())),
            "workers_started": boots,
            "ms": {
                "median": round(outcomes.percentile(50) * 1000),
                "p99": round(outcomes.percentile(99) * 1000),
                "longest": round(max(outcomes.took) * 1000),
            },
            "recovered_after_seconds": round(recovered, 1),
            "lost": missing,
            "failed_at": sorted(outcomes.failed_at),
        }


def _fill_store(stack: Failing) -> None:
    stack.store.raw.config_set("maxmemory", "1")


def _log_in_41_times(stack: Failing) -> None:
    body, headers = b'{"username": "ada", "password": "no"}', {"Content-Type": "application/json"}
    for _ in range(41):
        in_background(lambda: ask(stack.nginx.port, "POST", "/api/login", body, headers))


def _kill_replica(stack: Failing) -> None:
    stack.signal_replica(signal.SIGKILL)
    assert stack.masters[0].process
    stack.masters[0].process.wait()


CASES: Final = [
    Case("nothing"),
    *(
        Case(
            f"{rate:g} deadly requests/s",
            rate=rate,
            kill=Failing.kill_by_request,
            workers=workers,
            max_fails=max_fails,
            seconds=22 if rate < 1 else SECONDS,
        )
        for workers in (2, 8)
        for max_fails in (1, 0)
        for rate in (0.1, 1, 5)
    ),
    Case(
        "1 deadly request/s, gthread", rate=1, kill=Failing.kill_by_request, worker_class="gthread"
    ),
    Case("1 worker killed/s", rate=1, kill=Failing.kill_worker),
    *(
        case
        for max_fails in (1, 0)
        for case in (
            Case("a dead replica", _kill_replica, max_fails=max_fails),
            Case(
                "a paused replica",
                lambda stack: stack.signal_replica(signal.SIGSTOP),
                max_fails=max_fails,
                seconds=40,
            ),
            Case("a replica 1 s slower", slow=1, max_fails=max_fails),
        )
    ),
    Case("a full store", _fill_store),
    Case("a paused store", lambda stack: stack.store.pause()),
    Case("41 logins at once", _log_in_41_times),
]


def table(results: list[dict[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    heading = (
        "| what fails | replicas × workers | `max_fails` | requests | not answered with 200"
        " | median, p99, longest (ms) | acknowledged writes lost |"
    )
    lines = [
        heading,
        "|---|---|---|---|---|---|---|",
    ]
    for row in results:
        others = {name: count for name, count in row["statuses"].items() if name != "200"}
        failed = ", ".join(f"{count} × {name}" for name, count in others.items()) or "0"
        times = ", ".join(str(row["ms"][name]) for name in ("median", "p99", "longest"))
        lines.append(
            f"| {row['case']} | {row['shape']} | {row['max_fails']} | {row['requests']} |"
            f" {failed} | {times} | {row['lost']} |"
        )
    return "\n".join(lines)


def surroundings() -> dict[str, Any]:
    """Return where the figures come from."""
    version = subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True).stderr
    return {
        "nginx": version.rpartition("/")[2].strip(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "visitors": VISITORS,
        "pause_seconds": PAUSE,
    }


def main() -> None:
    """Run the cases that were chosen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="a part of a case's name")
    parser.add_argument("--out", type=Path, help="the file for the raw counts")
    options = parser.parse_args()
    results = []
    for case in CASES:
        if options.only in case.name:
            results.append(case.measure() | {"load_average": os.getloadavg()[0]})
            sys.stderr.write(f"{json.dumps(results[-1] | {'failed_at': ''}, ensure_ascii=False)}\n")
    if options.out:
        record = {"surroundings": surroundings(), "results": results}
        options.out.write_text(json.dumps(record, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.stdout.write(table(results) + "\n")


if __name__ == "__main__":
    main()
