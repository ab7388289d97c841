"""Locks that the kernel keeps: it releases them when their holder ends, however that happens."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import KitError


@contextmanager
def one_verb(path: Path, verb: str) -> Iterator[None]:
    """Hold the lock of a stack, so that no other verb changes it meanwhile.

    Raises:
        KitError: another verb holds the lock.
    """
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise KitError(
                f"{file.read() or 'another verb'} is changing this stack ({path.parent})",
                "wait until it has finished, or interrupt it with Ctrl-C",
            ) from None
        file.truncate(0)
        file.write(f"`make {verb}` (pid {os.getpid()})")
        file.flush()
        yield


@contextmanager
def in_turn(path: Path) -> Iterator[bool]:
    """Wait for a lock; the value says whether another process held it first."""
    with path.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield True
        else:
            yield False


def holder(path: Path) -> int | None:
    """Return the process group that holds a service's lock, or ``None`` if none does.

    A service's processes inherit the locked descriptor, and the first of them leads their process
    group. While the lock is held, a member lives, and the kernel gives the group's number to no
    other process. So there is no need to compare start times.
    """
    try:
        file = path.open("r+", encoding="utf-8")
    except FileNotFoundError:
        return None
    with file:
        try:
            # Shared, so that two verbs that ask at once do not take each other for the service.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = file.read()
            return int(text) if text else None
    return None
