"""CPU time and memory of processes, from /proc."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return user plus system time of processes so far, all their threads included.

    Raises:
        FileNotFoundError: one of them has ended.
    """
    return sum(_ticks(pid) for pid in pids) / _TICKS_PER_SECOND


def memory_bytes(pid: int) -> int:
    """Return the memory that a process would free, shared pages divided by those who share them.

    Raises:
        FileNotFoundError: it has ended.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0  # it is ending, and has none any more


def _ticks(pid: int) -> int:
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    # The name, in parentheses, may hold spaces: fields are counted from behind it.
    fields = text.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
