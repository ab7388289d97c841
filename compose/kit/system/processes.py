"""Ask the operating system about processes.

psutil is imported late, because ``make down`` must stop a stack whose environment was removed.
"""

import os
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress

from kit.errors import KitError


def children(pid: int) -> frozenset[int]:
    """Return the pids of a process's children: the workers of a master."""
    return _children(pid, exporters=False)


def exporters(pid: int) -> frozenset[int]:
    """Return the pids of a master's children that answer METRICS."""
    return _children(pid, exporters=True)


def _children(pid: int, *, exporters: bool) -> frozenset[int]:
    import psutil

    found = set()
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children():
            with suppress(psutil.Error):
                if is_exporter(child.cmdline()) == exporters:
                    found.add(child.pid)
    return frozenset(found)


def is_exporter(command: Sequence[str]) -> bool:
    """Whether a process answers METRICS beside a master, by the words of its command."""
    return any(word.endswith("/unsticky_metrics.py") for word in command)


def memory(pid: int) -> int:
    """Return the resident memory of a process in bytes; 0 if it has gone."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def most_files() -> int:
    """Return how many files a process that the caller starts may open at once."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def require_files(count: int) -> None:
    """Check that processes may open so many files."""
    allowed = most_files()
    if allowed < count:
        raise KitError(
            f"you may open {allowed} files at once (`ulimit -n`), and this stack needs {count}",
            "use a shell with a higher limit; `nofile` in /etc/security/limits.conf sets it",
            "or start fewer REPLICAS, WORKERS or THREADS",
        )


def runs_as_root() -> bool:
    """Whether the processes that this one starts run as root."""
    return os.getuid() == 0


def listener(port: int) -> str:
    """Return the program that listens on a TCP port, if the caller may know it.

    The docker runtime has no environment, and so no psutil.
    """
    try:
        import psutil
    except ImportError:
        return "another program"

    with suppress(psutil.Error):
        for connection in psutil.net_connections(kind="tcp"):
            at = connection.laddr
            if connection.status == psutil.CONN_LISTEN and at and at.port == port:
                if connection.pid is None:
                    break
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another program"
