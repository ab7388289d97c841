"""Running a suite in the suites' environment, with our plugin."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Final

from tests.support.checkout import ROOT

from . import sources
from .outcomes import Comparison, recorded, to_repeat
from .suites import ForeignError, Suite

PATIENCE_SECONDS: Final = 900
_PLUGIN: Final = Path(__file__).parent / "plugin"

# pytest's own: all passed, some failed.
_RAN: Final = (0, 1)


class Sessions(Enum):
    """Whose sessions the applications of a suite get."""

    OWN = "own"
    OURS = "ours"
    READ = "read"
    """Ours, and functions of the suite that decode Flask's cookie read our store instead."""


def compare(suite: Suite, store: str) -> Comparison:
    """Run a suite on our sessions, kept at `store`, and lay the record of its own beside it.

    Raises:
        ForeignError: it did not run to its end, or nothing is recorded for the pinned version.
        Unmade: it could not be fetched.
    """
    own = recorded(suite)
    ours = run(suite, Sessions.OURS, store)
    again = to_repeat(suite, own, ours)
    read = run(suite, Sessions.READ, store, again) if again else {}
    return Comparison(suite, own, ours, read)


def run(
    suite: Suite, sessions: Sessions, store: str = "memory://", tests: Sequence[str] = ()
) -> dict[str, str]:
    """Run a suite, or some of its tests; return what came of each.

    Raises:
        ForeignError: it did not run to its end.
        Unmade: it could not be fetched.
    """
    python = sources.environment()
    folder = sources.unpacked(suite, python)
    pytest = [
        python.parent / "pytest",
        "-p",
        "unsticky_foreign",
        "-q",
        "--tb=short",
        "--rootdir",
        folder,
    ]
    # A few take less time than to start further processes.
    if suite.parallel and not tests:
        pytest += ["-n", str(os.cpu_count() or 1)]
    with tempfile.TemporaryDirectory(prefix="foreign-") as scratch:
        results = Path(scratch) / "results.json"
        log = sources.folder() / f"{suite.name}.{sessions.value}.log"
        env = _environment(Path(scratch)) | {
            "UNSTICKY_FOREIGN_SESSIONS": sessions.value,
            "UNSTICKY_FOREIGN_RESULTS": str(results),
            "UNSTICKY_FOREIGN_STORE": store,
        }
        pytest += tests or suite.arguments
        with log.open("w", encoding="utf-8") as output:
            done = subprocess.run(
                [str(part) for part in pytest],
                check=False,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=PATIENCE_SECONDS,
            )
        if done.returncode not in _RAN or not results.exists():
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
            message = f"{suite.name} did not run ({done.returncode}); {log} ends with:\n{tail}"
            raise ForeignError(message)
        outcomes: dict[str, str] = json.loads(results.read_text(encoding="utf-8"))
    return outcomes


def _environment(scratch: Path) -> dict[str, str]:
    """Return what a suite sees: nothing of the caller's own settings, for which some tests look."""
    return {
        "HOME": str(scratch),
        "LANG": "C.UTF-8",
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"{ROOT / 'app'}{os.pathsep}{_PLUGIN}",
        "TMPDIR": str(scratch),
    }
