"""`python -m loadtest <verb>`: `make loadtest`, `report`, `compare`, `sweep` and `bench` run it.

`loadtest` exits with 0 if the gate passed, 1 if it failed and 2 if there is no verdict; its last
line says which. `bench` takes the arguments behind its name.
"""

import os
import signal
import sys
import traceback
from types import FrameType

from loadtest import settings
from loadtest.console import Progress, say, warn
from loadtest.errors import LoadTestError

_NO_VERDICT = 2


def main(verb: str) -> int:
    """Run one verb and return the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _VERBS[verb]()
    except LoadTestError as error:
        warn(f"error: {error}")
        problem = error.problem.splitlines()[0]
    except OSError as error:
        warn(f"error: {error}")
        problem = str(error)
    except KeyboardInterrupt:
        problem = "interrupted before any request was made"
    except Exception as error:  # noqa: BLE001 (Python's own exit code is that of a failed gate)
        warn(traceback.format_exc())
        problem = f"{error!r}: a fault of the load test itself"
    if verb == "loadtest":
        say(f"VERDICT error: {problem}")
    return _NO_VERDICT


def _loadtest() -> int:
    # Late imports: only these verbs' environment has Locust, only that of `bench` the frameworks.
    from loadtest.harness.run import Run
    from loadtest.report import run as report
    from loadtest.report import terminal

    wanted = settings.parse()
    plan = wanted.plan
    say(f"load test: {plan.shape}, profile {wanted.profile}, {plan.duration:g} s")
    progress = Progress(plan.duration)
    try:
        result, folder = Run(wanted, say, progress).make()
    finally:
        progress.finish()
    say()
    for line in terminal.lines(result):
        say(line)
    page = report.write(folder, result)
    say(f"\n  report     {page}")
    say(f"  raw data   {folder}")
    say(result.verdict.line)
    return result.verdict.word.exit_code


def _report() -> int:
    from loadtest.harness.result import RunResult
    from loadtest.report import archive
    from loadtest.report import run as report

    folder = archive.latest(settings.state_dir())
    archive.show(report.write(folder, RunResult.read(folder)))
    return 0


def _compare() -> int:
    from loadtest.harness.result import RunResult
    from loadtest.report import archive, compare

    state_dir = settings.state_dir()
    first, second = (archive.named(state_dir, name, os.environ.get(name)) for name in ("A", "B"))
    a, b = RunResult.read(first), RunResult.read(second)
    for line in compare.lines(a, b):
        say(line)
    archive.show(compare.write(second / f"compared-with-{first.name}.html", a, b))
    return 0


def _sweep() -> int:
    from loadtest.report import archive, sweep

    archive.show(sweep.make(settings.parse(), say))
    return 0


def _bench() -> int:
    from loadtest.frameworks import bench

    bench.main(sys.argv[2:])
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


_VERBS = {
    "loadtest": _loadtest,
    "report": _report,
    "compare": _compare,
    "sweep": _sweep,
    "bench": _bench,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
