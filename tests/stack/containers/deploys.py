"""Deploy and roll back for minutes under a load of every method: ``python -m …deploys``.

Not a test of CI: 10 deployments, 3 rollbacks and 4 broken releases, and at least 30,000 requests.
The figures are in `docs/proofs.md`. With the argument `kills`, deployments and rollbacks that are
killed after each call of docker that changes something (or after those with these numbers), each
followed by a run that goes on.
"""

import signal
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from tests.stack.containers.standalone import BROKEN, Project, Visits, visitors
from tests.support.checkout import ROOT

_LEAST_REQUESTS = 30_000


def main() -> int:
    """Print what happened; return 1 if a request was lost, or an operation went wrong."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        project = Project(Path(name), ROOT)
        try:
            project.release("r0")
            with visitors(project.port) as visits:
                if sys.argv[1:2] == ["kills"]:
                    for verb in ("up", "rollback"):
                        _kills(project, visits, verb, [int(n) for n in sys.argv[2:]] or count(1))
                else:
                    _deployments(project, visits)
        finally:
            project.dispose()
    total = visits.answered.total() + len(visits.lost)
    sys.stdout.write(f"{time.monotonic() - began:.0f} s, {dict(visits.answered)}\n")
    sys.stdout.write(f"{len(visits.lost)} of {total} requests lost {visits.lost[:5]}\n")
    if not visits.lost:
        # The rule of three: a higher rate would have lost one with 95 % probability.
        sys.stdout.write(f"at most 1 in {total // 3:,} (95 %)\n")
    return 1 if visits.lost else 0


def _deployments(project: Project, visits: Visits) -> None:
    for number in range(10):
        project.release(f"r{number + 1}")
        if number in {2, 5, 8}:
            _expect(project, 0, "rollback")
    for kind, begin in BROKEN.items():
        project.write(kind.replace(" ", "-"), begin, good=1)
        _expect(project, 1, READY_TIMEOUT="15")
    project.write("unmigrated")
    _expect(project, 1, RELEASE_COMMAND="exit 1")
    while visits.answered.total() + len(visits.lost) < _LEAST_REQUESTS:
        time.sleep(1)


def _kills(project: Project, visits: Visits, verb: str, numbers: Iterable[int]) -> None:
    """Kill after these changes, until a run has fewer."""
    for number in numbers:
        earlier = dict(project.serving())
        if verb == "rollback":
            project.release(f"before-{number}")
        else:
            project.write(f"{verb}-{number}")
        status, printed = project.deploy(verb, DEPLOY_KILL=f"after KILL {number} change")
        left, serving = sorted(project.replicas().values()), dict(project.serving())
        next_status, next_printed = project.deploy(verb)
        after, states = dict(project.serving()), [*project.replicas().values()]
        where = printed.strip().rpartition("\n")[2]
        sys.stdout.write(f"{verb} {number}: {where}; {serving} {left}; then {after}")
        sys.stdout.write(f", {len(visits.lost)} lost\n")
        sys.stdout.flush()
        if verb == "rollback" and serving == after == earlier and next_status:
            # Killed when all was done, and the release that serves is the oldest.
            assert "there is no earlier release" in next_printed
        else:
            assert next_status == 0, next_printed
        assert (len(after), states) == (1, ["running"] * 2), next_printed
        if status != -signal.SIGKILL:
            assert status == 0, printed
            return


def _expect(project: Project, expected: int, *words: str, **variables: str) -> None:
    before = project.serving()
    status, printed = project.deploy(*words, **variables)
    assert status == expected, printed
    if expected:
        assert project.serving() == before


if __name__ == "__main__":
    sys.exit(main())
