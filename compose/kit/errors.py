"""What a verb raises if it cannot do its work."""

import errno
import re
from collections.abc import Iterable
from typing import NamedTuple, Self


class KitError(Exception):
    """A failure that the caller can do something about.

    Every function of the kit raises it if it cannot do what the first line of its text says.

    Attributes:
        problem: what is wrong, with the value: ``cannot x: reason``. More lines are details.
        hints: what to do about it, one sentence each.
    """

    def __init__(self, problem: str, *hints: str) -> None:
        super().__init__("\n".join((problem, *hints)))
        self.problem = problem
        self.hints = hints


class Known(NamedTuple):
    """A failure that another program reports, and what it means."""

    pattern: str
    problem: str
    hints: tuple[str, ...]

    @classmethod
    def find(cls, table: Iterable[Self], said: str) -> Self | None:
        """Return the first failure of a table that a program's output reports."""
        return next((each for each in table if re.search(each.pattern, said, re.IGNORECASE)), None)


def from_os_error(error: OSError) -> KitError:
    """Turn an error of the operating system into one with hints."""
    where = error.filename if error.filename is not None else "a file"
    problem = f"{where}: {error.strerror or error}"
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return KitError(
            f"no permission: {problem}",
            "get write access to that path, or use another folder: make up STATE_DIR=~/unsticky",
        )
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return KitError(
            f"the disk is full: {problem}",
            "free some space, or use another disk: make up STATE_DIR=/another/disk/unsticky",
            "`make down` stops what has started",
        )
    return KitError(problem, "`make status` shows what runs, `make down` stops it")
