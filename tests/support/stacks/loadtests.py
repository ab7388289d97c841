"""Load tests against stacks, as a user runs them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.checkout import ROOT
from tests.support.stacks.local import Stack

SLO = ROOT / "tests" / "loadtest" / "slo.toml"


@dataclass(frozen=True)
class Ran:
    """A load test that ended.

    Args:
        status: what make exits with: 0, or 2 for every failure of a recipe.
        printed: all that it printed.
        document: its ``run.json``; empty if there is none.
        folder: where its report and raw data are.
    """

    status: int
    printed: str
    document: dict[str, Any]
    folder: Path

    @property
    def verdict(self) -> str:
        """The one line that says how it ended."""
        (line,) = [line for line in self.printed.splitlines() if line.startswith("VERDICT")]
        return line

    @property
    def exit_code(self) -> int:
        """The command's own exit code; make prints it if it is not 0."""
        told = [line for line in self.printed.splitlines() if "loadtest] Error" in line]
        return int(told[0].rsplit(" ", 1)[1]) if told else self.status


def run(stack: Stack, **settings: str) -> Ran:
    """Run a short load test from one process of the load generator."""
    status, printed = stack.verb("loadtest", **settings_of(**settings))
    assert "Traceback" not in printed, printed
    return read(stack, status, printed)


def settings_of(**settings: str) -> dict[str, str]:
    """Return the settings of a short load test."""
    chosen = {"DURATION": "3s", "PROCESSES": "1", "THINK": "0.01", **settings}
    if "PROFILE" not in chosen:
        chosen.setdefault("SLO", str(SLO))
    if not {"USERS", "RATE"} & chosen.keys():
        chosen["USERS"] = "8"
    return chosen


def run_until_found(stack: Stack, least: int = 1, **settings: str) -> Ran:
    """Run it, on a slow machine for longer, until there are so many findings."""
    for seconds in (3, 10, 30):
        ran = run(stack, DURATION=f"{seconds}s", **settings)
        if sum(ran.document.get("findings", {}).values()) >= least:
            break
    return ran


def read(stack: Stack, status: int, printed: str) -> Ran:
    """Return what a load test left in the folder that it named."""
    named = [line.split()[-1] for line in printed.splitlines() if line.startswith("  raw data")]
    if not named:
        return Ran(status, printed, {}, stack.state_dir)
    folder = Path(named[0])
    return Ran(status, printed, json.loads((folder / "run.json").read_text()), folder)
