"""Read texts as values, with an error and an example for each text that cannot be used.

Each function returns a reader of a variable: it takes the variable's name, its text, None if it is
not set, and the folder in which relative paths start.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

from kit.errors import KitError

Reader = Callable[[str, str | None, Path], object]


def integer(default: int, low: int, high: int) -> Reader:
    """Read a whole number of a range."""

    def read(name: str, text: str | None, _folder: Path) -> int:
        text = text or str(default)
        if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not low <= int(text) <= high:
            raise KitError(
                f"{name}={text} is not a whole number from {low} to {high}",
                f"for example: make up {name}={default}",
            )
        return int(text)

    return read


def choice(*choices: str) -> Reader:
    """Read one of some words, by default the first."""

    def read(name: str, text: str | None, _folder: Path) -> str:
        text = text or choices[0]
        if text not in choices:
            raise KitError(
                f"{name}={text} is not one of {', '.join(choices)}",
                f"for example: {name}={choices[0]}",
            )
        return text

    return read


def switch(*, default: bool) -> Reader:
    """Read 1 or 0."""
    read = choice("1", "0") if default else choice("0", "1")
    return lambda name, text, folder: read(name, text, folder) == "1"


def matching(default: str, pattern: str, form: str) -> Reader:
    """Read a text that a pattern describes, in any case."""

    def read(name: str, text: str | None, _folder: Path) -> str:
        text = default if text is None else text
        if not re.fullmatch(pattern, text, re.IGNORECASE):
            raise KitError(f"{name}={text} is not {form}", f"for example: {name}={default}")
        return text

    return read


def path(default: str | None) -> Reader:
    """Read a path, which becomes absolute; None if there is none."""

    def read(name: str, text: str | None, folder: Path) -> Path | None:
        text = text or default
        return None if text is None else absolute(name, text, folder)

    return read


def file(mode: int) -> Reader:
    """Read the path of a file that the caller can use in a mode of `os.access`, or None."""

    def read(name: str, text: str | None, folder: Path) -> Path | None:
        if text is None:
            return None
        found = absolute(name, text, folder)
        if not os.access(found, mode) or found.is_dir():
            what = "program that you may run" if mode == os.X_OK else "file that you may read"
            raise KitError(f"{name}={found} is not a {what}", f"give its full path or unset {name}")
        return found

    return read


def folder(name: str, text: str | None, start: Path) -> Path | None:
    """Read the path of a folder that nginx can name in its configuration, or None."""
    if text is None:
        return None
    found = absolute(name, text, start)
    if not found.is_dir() or re.search(r"[\"$\\]", str(found)):
        raise KitError(
            f'{name}={found} is not a folder, or its path has one of " $ \\',
            f"give its path or unset {name}",
        )
    return found


def absolute(name: str, text: str, folder: Path) -> Path:
    """Return the path that a variable names."""
    if not text.isprintable():
        raise KitError(f"{name}={text!r} contains a control character", "choose another folder")
    try:
        found = Path(text).expanduser()
    except RuntimeError as error:
        raise KitError(f"{name}={text} begins with nobody's home", "write the path") from error
    # Symbolic links stay, so that messages show the path that the caller wrote.
    return Path(os.path.normpath(folder / found))
