"""`python -m loadtest`: `make loadtest` runs it with the words of ARGS, `make bench` with `bench`.

Without a word, it exits with 0 if the gate passed, 1 if it failed, 2 if there is no verdict, and 3
if it is undecided; its last line says which. With `capacity`, it exits with 0 or 2, and the last
line is the capacity. `bench` and `prove` take the arguments behind their names.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from loadtest import settings
from loadtest.console import Progress, say, warn
from loadtest.errors import LoadTestError

_NO_VERDICT = 2
# The first word of the last line, by command.
_LAST_LINE = {"": "VERDICT", "capacity": "CAPACITY"}


def main(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name, and return the exit code."""
    try:
        return _command(arguments)() or 0
    except LoadTestError as error:
        warn(f"error: {error}")
        problem = error.problem.splitlines()[0]
    except OSError as error:
        warn(f"error: {error}")
        problem = str(error)
    except KeyboardInterrupt:
        problem = "interrupted before there was a result"
    except Exception as error:  # noqa: BLE001 (Python's own exit code is that of a failed gate)
        warn(traceback.format_exc())
        problem = f"{error!r}: a fault of the load test itself"
    if word := _LAST_LINE.get(arguments[0] if arguments else ""):
        say(f"{word} error: {problem}")
    return _NO_VERDICT


def _command(arguments: Sequence[str]) -> Callable[[], int | None]:
    name, *others = arguments or [""]
    if name not in _COMMANDS or (others and name not in {"bench", "prove"}):
        raise LoadTestError(
            f"ARGS={' '.join(arguments)} is not one of report, compare, sweep",
            "without ARGS, `make loadtest` loads the stack",
        )
    return _COMMANDS[name]


def _loadtest() -> int:
    # Late imports: only this environment has Locust, only that of `bench` the frameworks.
    from loadtest.harness.run import Run
    from loadtest.report import junit, markdown, terminal
    from loadtest.report import run as report

    wanted = settings.parse()
    plan = wanted.plan
    say(f"load test: {plan.shape}, profile {wanted.profile}, {plan.duration:g} s")
    progress = Progress(plan.duration)
    try:
        result, folder = Run(wanted, say, progress).make()
    finally:
        progress.finish()
    with _uninterrupted():
        say(f"\n{terminal.summary(result)}")
        page = report.write(folder, result)
        junit.write(folder, result)
        markdown.write(folder, result, os.environ.get("GITHUB_STEP_SUMMARY"))
        say(f"\n  report     {page}")
        say(f"  raw data   {folder}")
        say(result.verdict.line)
    return result.verdict.word.exit_code


def _capacity() -> None:
    from loadtest.report import capacity

    say(f"CAPACITY {capacity.make(say)}")


def _report() -> None:
    from loadtest.harness.result import RunResult
    from loadtest.report import archive
    from loadtest.report import run as report

    folder = archive.named(settings.state_dir())
    archive.show(report.write(folder, RunResult.read(folder)))


def _compare() -> None:
    from loadtest.harness.result import RunResult
    from loadtest.report import archive, compare

    state_dir = settings.state_dir()
    first, second = (archive.named(state_dir, name, os.environ.get(name)) for name in ("A", "B"))
    a, b = RunResult.read(first), RunResult.read(second)
    for line in compare.lines(a, b):
        say(line)
    archive.show(compare.write(second / f"compared-with-{first.name}.html", a, b))


def _sweep() -> None:
    from loadtest.report import archive, sweep

    archive.show(sweep.make(settings.parse(), say))


def _bench() -> None:
    from loadtest.frameworks import bench

    bench.main(sys.argv[2:])


def _prove() -> int:
    from loadtest.prove import page

    return page.main(sys.argv[2:])


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore Ctrl-C: who ends a run may press it twice, and its reports take a second at most."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


_COMMANDS: dict[str, Callable[[], int | None]] = {
    "": _loadtest,
    "capacity": _capacity,
    "report": _report,
    "compare": _compare,
    "sweep": _sweep,
    "bench": _bench,
    "prove": _prove,
}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    sys.exit(main(sys.argv[1:]))
