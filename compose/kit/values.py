"""Turn texts into values, with an error and an example for each text that cannot be used."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from kit.errors import KitError


class Values:
    """Texts by name, each of which can be read as one kind of value.

    Every method raises `KitError` if the text cannot be used.

    Args:
        given: the texts; a name without one has its default.
        folder: where relative paths start.
    """

    def __init__(self, given: Mapping[str, str], folder: Path) -> None:
        self._given, self._folder = given, folder

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return a whole number of a range."""
        text = self._given.get(name, str(default))
        if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not low <= int(text) <= high:
            raise KitError(
                f"{name}={text} is not a whole number from {low} to {high}",
                f"for example: make up {name}={default}",
            )
        return int(text)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return one of some words, by default the first."""
        text = self._given.get(name, choices[0])
        if text not in choices:
            raise KitError(
                f"{name}={text} is not one of {', '.join(choices)}",
                f"for example: {name}={choices[0]}",
            )
        return text

    def matching(self, name: str, default: str, pattern: str, form: str) -> str:
        """Return a text that a pattern describes, in any case."""
        text = self._given.get(name, default)
        if not re.fullmatch(pattern, text, re.IGNORECASE):
            raise KitError(f"{name}={text} is not {form}", f"for example: {name}={default}")
        return text

    def path(self, name: str, default: str) -> Path:
        """Return an absolute path."""
        text = self._given.get(name, default)
        if not text.isprintable():
            raise KitError(f"{name}={text!r} contains a control character", "choose another folder")
        try:
            path = Path(text).expanduser()
        except RuntimeError as error:
            raise KitError(f"{name}={text} begins with nobody's home", "write the path") from error
        # Symbolic links stay, so that messages show the path that the caller wrote.
        return Path(os.path.normpath(self._folder / path))

    def folder(self, name: str, default: Path) -> Path:
        """Return the path of a folder, which need not exist any more when a verb reads it."""
        return self.path(name, "") if name in self._given else default

    def file(self, name: str, mode: int) -> Path | None:
        """Return the path of a file, if one is given, that the caller may use in a mode."""
        if name not in self._given:
            return None
        path = self.path(name, "")
        if not os.access(path, mode) or path.is_dir():
            what = "program that you may run" if mode == os.X_OK else "file that you may read"
            raise KitError(f"{name}={path} is not a {what}", f"give its full path, or unset {name}")
        return path
