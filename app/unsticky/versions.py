"""What the library needs of other packages, said in a sentence when one is too old.

pip sees to it where it installs the library. Where the folder was copied beside an application,
or pip was told not to look, an old package would fail much later: Flask 2 at the first cookie.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from .errors import ConfigurationError

OLDEST: Final = {"flask": "3.0", "werkzeug": "3.0", "redis": "5.0", "msgpack": "1.0.5"}
"""The oldest version of each package; the tests run on these, too."""


@cache
def check(installed: Callable[[str], str] = version) -> None:
    """Look whether the installed packages are new enough.

    Args:
        installed: gives a package's version by its name, as `importlib.metadata.version` does.

    Raises:
        ConfigurationError: one is not; the message names all of them.
    """
    old = []
    for package, oldest in OLDEST.items():
        try:
            found = installed(package)
        except PackageNotFoundError:
            continue  # it came without metadata, and was imported all the same
        if _numbers(found) < _numbers(oldest):
            old.append((package, found, oldest))
    if old:
        found_ones = ", ".join(f"{package} {found}" for package, found, _ in old)
        wanted = " ".join(f"'{package}>={oldest}'" for package, _, oldest in old)
        message = f"too old for Unsticky: {found_ones}; run pip install {wanted}"
        raise ConfigurationError(message)


def _numbers(text: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with, so that 3.0 and 3.0.0 are one."""
    matched = re.match(r"\d+(?:\.\d+)*", text)
    numbers = [int(part) for part in matched[0].split(".")] if matched else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)
