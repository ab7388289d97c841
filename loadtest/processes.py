"""Processes that come and go."""

import psutil


def family(pid: int, *, recursive: bool = False) -> list[psutil.Process]:
    """Return a process and its children, or all descendants; nothing if it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=recursive)]
    except psutil.NoSuchProcess:
        return []
