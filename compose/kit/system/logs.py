"""The logs of services: read their last lines, follow them, count their requests."""

import contextlib
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import TextIO

from kit.console import show_line

_BLOCK = 16_384
_POLL_SECONDS = 0.25
# File, code and the error itself.
_FRAME_LINES = 3
# How many lines of a log an error message shows, and how many are read to find them.
_SHOWN_LINES = 12
READ_LINES = 60


def last_lines(path: Path, count: int, start: int = 0) -> list[str]:
    """Return the last lines of a file that may not exist, none from before byte ``start``."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            end = file.tell()
            # A rotated file starts at 0 again.
            file.seek(max(start if start <= end else 0, end - _BLOCK))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def condensed(lines: Sequence[str]) -> list[str]:
    """Shorten log lines for people: JSON to its message, tracebacks to their last frame."""
    shown: list[str] = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if isinstance(entry, dict) and "message" in entry:
            shown.append(str(entry["message"]))
            shown += str(entry.get("exception") or "").splitlines()[-_FRAME_LINES:]
        elif not line.startswith((" ", "Traceback (")):
            shown.append(line)
    # A service that restarts again and again repeats itself.
    return [line for line, _ in itertools.groupby(shown)]


def last_words(lines: Sequence[str]) -> str:
    """Return the end of a log as part of an error message."""
    shown = condensed(lines)[-_SHOWN_LINES:] or ["(nothing)"]
    return "Its last words:\n" + "\n".join(f"  {line}" for line in shown)


def served_by(lines: Iterable[str]) -> Counter[str]:
    """Count the lines of nginx's access log by the worker that they name, ``replica/pid``."""
    found: Counter[str] = Counter()
    for line in lines:
        try:
            found[json.loads(line)["served_by"]] += 1
        except (ValueError, KeyError, TypeError):
            # An incomplete line, or one of the error log.
            continue
    return found


def files(folder: Path, service: str | None) -> list[Path]:
    """Return the log files of one service, or of all."""
    pattern = "*.log" if service is None else f"{service}.*log"
    return sorted(path for path in folder.glob(pattern) if ".output." not in path.name)


def follow(paths: Sequence[Path], history: int, is_running: Callable[[], bool]) -> None:
    """Print the last lines of each file, then new ones as long as the stack runs."""
    names = [path.name.removesuffix(".log").replace(".", " ") for path in paths]
    width = max(map(len, names))
    with contextlib.ExitStack() as stack:
        tails = [stack.enter_context(contextlib.closing(_tail(p, history))) for p in paths]
        goes_on = True
        while goes_on:
            # Asked before the lines are read, so that the last ones are printed, too.
            goes_on = is_running()
            for name, tail in zip(names, tails, strict=True):
                for line in next(tail):
                    show_line(f"{name:{width}} | {line}")
            if goes_on:
                time.sleep(_POLL_SECONDS)


def _tail(path: Path, history: int) -> Generator[list[str], None, None]:
    """Yield the last lines of a file that may be rotated, then each time those that are new."""
    file = _opened(path)
    lines = last_lines(path, history)
    if file:
        file.seek(0, os.SEEK_END)
    try:
        while True:
            lines += [line.rstrip("\n") for line in file or ()]
            yield lines
            lines = []
            new = _opened(path)
            if new and not (file and os.path.sameopenfile(new.fileno(), file.fileno())):
                file, new = new, file
            if new:
                new.close()
    finally:
        if file:
            file.close()


def _opened(path: Path) -> TextIO | None:
    try:
        return path.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
