"""`python -m tests.library.history.linear`: record histories for a while and judge each.

`make fuzz ARGS='history --seconds 1200 --seed 7'`
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.library.history.linear import recording
from tests.library.history.linear.checker import Verdict, judge
from tests.library.history.linear.stack import FAULTS, WATCHED, Stack
from tests.support.checkout import ROOT

# Shorter than a tombstone lives, so that no cookie is older (seconds).
_ROUND = 20.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return 1 if something was found."""
    parser = argparse.ArgumentParser(prog="make fuzz ARGS=history", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--sentinel", action="store_true", help="on a store that fails over")
    parser.add_argument("--judge", type=Path, help="judge a history that was written")
    chosen = parser.parse_args(arguments)
    if chosen.judge:
        return _report(judge(recording.read(chosen.judge)), chosen.judge)
    folder = Path(os.environ.get("STATE_DIR") or ROOT / ".state") / "histories"
    deadline, number, failed = time.monotonic() + chosen.seconds, 0, 0
    while (left := deadline - time.monotonic()) > 0:
        number += 1
        path = folder / f"{chosen.seed}-{number}.jsonl"
        with (
            tempfile.TemporaryDirectory(prefix="l-") as name,
            Stack.running(Path(name), watched=chosen.sentinel) as stack,
        ):
            recorder = recording.Recorder(stack.nginx.port, f"{chosen.seed}-{number}")
            faults = WATCHED if chosen.sentinel else FAULTS
            calls = recorder.record(stack, min(left, _ROUND), faults)
        recording.write(calls, path)
        verdict = judge(calls)
        verdict.violations += recorder.odd
        failed |= _report(verdict, path)
    return failed


def _report(verdict: Verdict, path: Path) -> int:
    print(
        f"{path}: {verdict.operations} operations of {verdict.sessions} sessions, "
        f"{verdict.unknown} unknown, {verdict.partly} sessions judged in parts, "
        f"{len(verdict.violations)} violations",
        flush=True,
    )
    for violation in verdict.violations:
        print(f"\n{violation}", flush=True)
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main())
