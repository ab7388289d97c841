"""The tables of this package: which suites there are, and which of their tests differ, and why."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.checkout import ROOT

PINS: Final = ROOT / "requirements" / "foreign.txt"
BUILD_PINS: Final = ROOT / "requirements" / "foreign-build.txt"
COOKIE: Final = "decodes-cookie"
"""The reason of tests that are run again with a reader of our sessions."""

_HERE = Path(__file__).parent


class ForeignError(Exception):
    """A suite did not run, or a table is wrong; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Suite:
    """One project's suite.

    Attributes:
        name: the project's name as it is pinned.
        version: the pinned one.
        arguments: what pytest gets.
        parallel: may run in several processes.
        differences: the reason by a test's id, or by its id without parameters.
    """

    name: str
    version: str
    arguments: tuple[str, ...]
    parallel: bool
    differences: dict[str, str]

    def reason(self, test: str) -> str | None:
        """Return why a test may differ, None where it may not."""
        return self.differences.get(test) or self.differences.get(without_parameters(test))


def without_parameters(test: str) -> str:
    """Return the id of a test as it is for all of its parameters."""
    return test.partition("[")[0]


def load() -> dict[str, Suite]:
    """Return all suites by name.

    Raises:
        ForeignError: a table contradicts another.
    """
    differences = _table("differences.toml")
    reasons = set(differences.pop("reasons"))
    for suite, listed in differences.items():
        for test, reason in listed.items():
            if reason not in reasons:
                message = f"differences.toml: {suite}: {test}: there is no reason {reason!r}"
                raise ForeignError(message)
    return {
        name: Suite(
            name=name,
            version=_version(name),
            arguments=tuple(entry["arguments"]),
            parallel=entry.get("parallel", False),
            differences=differences.get(name, {}),
        )
        for name, entry in _table("suites.toml").items()
    }


def reasons() -> dict[str, str]:
    """Return the sentences that say why tests differ, by their short names."""
    return {
        name: " ".join(text.split()) for name, text in _table("differences.toml")["reasons"].items()
    }


def requirement(name: str) -> str:
    """Return a project's version and hashes as `requirements/foreign.txt` pins them.

    Raises:
        ForeignError: it does not.
    """
    found = re.search(
        rf"^{re.escape(name)}==.*?(?:[^\\]$)",
        PINS.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    if found is None:
        message = f"{PINS.name} does not pin {name}: add it to the group `foreign`, run `make pins`"
        raise ForeignError(message)
    return found[0]


def _version(name: str) -> str:
    return requirement(name).partition("==")[2].split()[0]


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((_HERE / name).read_text(encoding="utf-8"))
