"""The runs that were kept, and their reports."""

import json
import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runs import report
from runs.console import say
from runs.errors import RunError


def latest(state_dir: Path) -> Path:
    """Return the folder of the last run.

    Raises:
        RunError: there is none.
    """
    return _kept(state_dir)[-1]


def named(state_dir: Path, variable: str, name: str | None) -> Path:
    """Return the folder of a run by its name, its path, or its place from the end (-1 the last).

    Raises:
        RunError: there is no such run.
    """
    kept = _kept(state_dir)
    if not name:
        # Without names: the last one beside the one before it.
        name = "-1" if variable == "B" else "-2"
    if name.lstrip("-").isdecimal() and name.startswith("-") and int(name[1:]) <= len(kept):
        return kept[int(name)]
    for folder in (state_dir / "loadtest" / name, Path(name)):
        if (folder / "run.json").is_file():
            return folder
    raise RunError(
        f"{variable}={name} is no run.",
        f"Give the name of a folder in {state_dir / 'loadtest'}, or -1 for the last run, -2 for "
        "the one before it. There are " + ", ".join(folder.name for folder in kept[-5:]) + ".",
    )


def read(folder: Path) -> dict[str, Any]:
    """Return the document of a run.

    Raises:
        RunError: it is not readable.
    """
    try:
        document: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{folder / 'run.json'} cannot be read: {error}.", "Make the run anew."
        ) from error
    return document


def write_page(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write the report of a run beside its data and return the file."""
    path = folder / "report.html"
    path.write_text(report.of_run(document), encoding="utf-8")
    return path


def show(path: Path) -> None:
    """Print where a page is, and open it if there is a desktop."""
    say(str(path))
    if sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        webbrowser.open(path.as_uri())


def _kept(state_dir: Path) -> list[Path]:
    kept = sorted(path.parent for path in (state_dir / "loadtest").glob("*/run.json"))
    if not kept:
        raise RunError(
            f"There is no run in {state_dir / 'loadtest'} yet.", "Make one: make loadtest"
        )
    return kept
