"""Processes that come and go."""

import random
from collections.abc import Sequence
from contextlib import suppress

import psutil


def family(pid: int, *, recursive: bool = False) -> list[psutil.Process]:
    """Return a process and its children, or all descendants; nothing if it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=recursive)]
    except psutil.NoSuchProcess:
        return []


def kill_one(workers: Sequence[psutil.Process]) -> int:
    """Kill one of these; return how many were killed."""
    if workers:
        with suppress(psutil.NoSuchProcess):
            random.choice(workers).kill()
            return 1
    return 0
