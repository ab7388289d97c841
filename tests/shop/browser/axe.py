"""axe-core, the accessibility checker: fetched when it is needed, run in an open page."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page


_VERSION = "4.14.1"
_SECONDS = 60


class MissingError(Exception):
    """axe-core cannot be had here; the message says why."""


def source(folder: Path) -> str:
    """Return the text of the script; ``AXE_CORE=/path/to/axe.min.js`` spares fetching it.

    Args:
        folder: An empty folder to install it into.

    Raises:
        MissingError: there is no npm, or it cannot install.
    """
    given = os.environ.get("AXE_CORE")
    if given:
        return Path(given).read_text(encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None:
        raise MissingError("axe-core needs npm, which is not on the PATH")
    options = ("--prefix", str(folder), "--no-package-lock", "--no-audit", "--no-fund")
    try:
        subprocess.run(
            [npm, "install", *options, f"axe-core@{_VERSION}"],
            check=True,
            capture_output=True,
            timeout=_SECONDS,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise MissingError(f"npm could not install axe-core: {error}") from error
    return (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


def violations(page: Page, script: str) -> list[str]:
    """Return what breaks WCAG 2.2 A and AA or good practice in the page, one line each."""
    # Evaluated by the debugger, which the page's policy against scripts does not bind.
    page.evaluate(script)
    found: dict[str, Any] = page.evaluate("axe.run()")
    return [
        f"{rule['id']}: {node['target']}: {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
