"""Processes that come and go."""

import psutil


def tree(pid: int) -> list[psutil.Process]:
    """Return a process and all its descendants; nothing if it has ended."""
    return family(pid, recursive=True)


def family(pid: int, *, recursive: bool = False) -> list[psutil.Process]:
    """Return a process and its children; nothing if it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=recursive)]
    except psutil.NoSuchProcess:
        return []
