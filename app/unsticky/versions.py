"""Refuse packages that are too old for the library, in one sentence.

pip does that when it installs the library. If the folder was copied beside an application, or pip
ran with --no-deps, an old package would fail much later: Flask 2 at the first cookie.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from .errors import ConfigurationError

OLDEST: Final = {"flask": "3.0", "werkzeug": "3.0", "redis": "5.0", "msgpack": "1.0.5"}
"""The oldest supported version of each package; the tests run on these, too."""


@cache
def check(installed: Callable[[str], str] = version) -> None:
    """Check that the installed packages are new enough; `installed` returns a package's version.

    Raises:
        ConfigurationError: some are too old; the message names all of them.
    """
    old = []
    for package, oldest in OLDEST.items():
        try:
            found = installed(package)
        except PackageNotFoundError:
            continue  # it has no metadata, but it was imported
        if _numbers(found) < _numbers(oldest):
            old.append((package, found, oldest))
    if old:
        found_ones = ", ".join(f"{package} {found}" for package, found, _ in old)
        wanted = " ".join(f"'{package}>={oldest}'" for package, _, oldest in old)
        raise ConfigurationError(f"too old for Unsticky: {found_ones}; run pip install {wanted}")


def _numbers(text: str) -> tuple[int, ...]:
    """Return the numbers at the start of a version, so that 3.0 and 3.0.0 are equal."""
    matched = re.match(r"\d+(?:\.\d+)*", text)
    numbers = [int(part) for part in matched[0].split(".")] if matched else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
