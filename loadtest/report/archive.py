"""The runs that were kept, and their pages."""

import os
import subprocess
import sys
from pathlib import Path

from loadtest.console import say
from loadtest.errors import LoadTestError


def named(state_dir: Path, variable: str = "B", name: str | None = None) -> Path:
    """Return the folder of a run by its name, its path, or its place from the end (-1 the last).

    `variable` is who gave the name. Without a name, A is the last run but one, and B the last.

    Raises:
        LoadTestError: there is no such run.
    """
    kept = _kept(state_dir)
    if not name and variable == "A" and len(kept) == 1:
        raise LoadTestError(
            f"there is only one run in {state_dir / 'loadtest'}: {kept[0].name}",
            "make another to compare it with: make loadtest",
        )
    if not name:
        name = "-1" if variable == "B" else "-2"
    if name.lstrip("-").isdecimal() and name.startswith("-") and int(name[1:]) <= len(kept):
        return kept[int(name)]
    for folder in (state_dir / "loadtest" / name, Path(name)):
        if (folder / "run.json").is_file():
            return folder
    raise LoadTestError(
        f"{variable}={name} is not a run",
        f"give -1 for the last run, -2 for the one before it, or the name of a folder in "
        f"{state_dir / 'loadtest'}: " + ", ".join(folder.name for folder in kept[-5:]),
    )


def show(path: Path) -> None:
    """Print where a page is, and open it if there is a desktop."""
    say(str(path))
    if sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        # Its own process: a browser may not return before it is closed.
        subprocess.Popen(
            [sys.executable, "-m", "webbrowser", path.as_uri()],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip


def _kept(state_dir: Path) -> list[Path]:
    kept = sorted(path.parent for path in (state_dir / "loadtest").glob("*/run.json"))
    if not kept:
        raise LoadTestError(
            f"there is no run in {state_dir / 'loadtest'}", "make one: make loadtest"
        )
    return kept
