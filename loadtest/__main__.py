"""``python -m runs <verb>``: what `make loadtest`, `report`, `compare` and `sweep` run.

`loadtest` exits with 0 if the gate passed, 1 if it failed and 2 if there is no verdict; its last
line says which.
"""

import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

from runs import archive, compare, options, summary, sweep
from runs.console import Progress, say, warn
from runs.errors import RunError
from runs.gate import Verdict, Word
from runs.run import Run


def main(verb: str) -> int:
    """Run one verb and return the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _VERBS[verb]()
    except RunError as error:
        warn(f"error: {error}")
        problem = error.problem.splitlines()[0]
    except OSError as error:
        warn(f"error: {error}")
        problem = str(error)
    except KeyboardInterrupt:
        problem = "interrupted before there was anything to report"
    except Exception as error:  # noqa: BLE001 (Python's own exit code for it is that of a verdict)
        warn(traceback.format_exc())
        problem = f"{error!r}: a mistake of the load test's own"
    if verb == "loadtest":
        say(Verdict(Word.ERROR, (problem,)).line)
    return Word.ERROR.exit_code


def _loadtest() -> int:
    wanted = options.parse()
    progress = Progress(wanted.duration)
    say(f"load test: {wanted.shape}, profile {wanted.profile}, {wanted.duration:g} s")
    run = Run(wanted, say, progress)
    try:
        result = run.make()
    finally:
        progress.finish()
    say()
    for line in summary.lines(result.document):
        say(line)
    page = archive.write_page(result.folder, result.document)
    say(f"\n  report     {page}")
    say(f"  raw data   {result.folder}")
    say(result.verdict.line)
    return result.verdict.word.exit_code


def _report() -> int:
    folder = archive.latest(_state_dir())
    archive.show(archive.write_page(folder, archive.read(folder)))
    return 0


def _compare() -> int:
    state_dir = _state_dir()
    first, second = (archive.named(state_dir, name, os.environ.get(name)) for name in ("A", "B"))
    for line in compare.lines(archive.read(first), archive.read(second)):
        say(line)
    archive.show(compare.write_page(first, second))
    return 0


def _sweep() -> int:
    archive.show(sweep.make(options.parse(), say))
    return 0


def _state_dir() -> Path:
    return options.parse({"STATE_DIR": os.environ.get("STATE_DIR", "")}).state_dir


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


_VERBS = {"loadtest": _loadtest, "report": _report, "compare": _compare, "sweep": _sweep}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
