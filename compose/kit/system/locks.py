"""Locks that the kernel keeps: it releases them when their holder ends, however that happens."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from kit.console import say
from kit.errors import KitError


@contextmanager
def one_verb(path: Path, verb: str) -> Iterator[None]:
    """Hold the lock of a stack, so that no other verb changes it meanwhile.

    What a killed verb has started holds it, too, and is waited for.
    """
    with _opened(path) as file:
        if not _is_free(file):
            other = file.read() or "another verb"
            if not _is_dead(other):
                raise KitError(
                    f"{other} is changing this stack ({path.parent})",
                    "wait until it has finished, or interrupt it with Ctrl-C",
                )
            say(f"{other} was killed; waiting for what it has started …")
            fcntl.flock(file, fcntl.LOCK_EX)
        _sign(file, f"`make {verb}` (pid {os.getpid()})")
        # A release command holds it, too, even if the verb is killed.
        fcntl.fcntl(file, fcntl.F_SETFD, 0)
        yield


@contextmanager
def in_turn(path: Path) -> Iterator[bool]:
    """Wait for a lock, and say so; the value says whether another process held it first."""
    with _opened(path) as file:
        waited = not _is_free(file)
        if waited:
            say(f"Waiting for {file.read() or 'another process'}, which works in {path.parent} …")
            fcntl.flock(file, fcntl.LOCK_EX)
        _sign(file, f"process {os.getpid()}")
        yield waited


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


def _opened(path: Path) -> TextIO:
    """Open a lock that only its owner can open: who can open a file can also lock it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with suppress(PermissionError):
        os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "r+", encoding="utf-8")


def _is_free(file: TextIO) -> bool:
    """Take a lock unless another process holds it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_dead(holder: str) -> bool:
    """Whether the process that has signed a lock has ended."""
    found = re.search(r"\(pid (\d+)\)", holder)
    if found is None:
        return False
    try:
        os.kill(int(found[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _sign(file: TextIO, holder: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(holder)
    file.flush()
