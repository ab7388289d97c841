"""What the verbs print: steps as they are done, and failures with their cure."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kit.errors import KitError


def say(text: str = "", end: str = "\n") -> None:
    """Print a line to standard output at once; go on silently if nobody reads any more.

    A stack must not stay half up because of ``make up | head``.
    """
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(text: str) -> None:
    """Print one warning to standard error."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def complain(error: KitError) -> None:
    """Print a failure and its cure to standard error."""
    first, *rest = error.problem.splitlines()
    print(f"\nerror: {first}", file=sys.stderr)
    for line in rest:
        print(f"       {line}", file=sys.stderr)
    for line in error.cure.splitlines():
        print(f"  mend it: {line}" if line else "", file=sys.stderr)
    sys.stderr.flush()


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print that a step begins, and what it took in seconds once it is done."""
    say(f"  {title} …", end="")
    began = time.monotonic()
    try:
        yield
    except BaseException:
        say(" failed")
        raise
    say(f" {time.monotonic() - began:.1f} s")


class Counter:
    """A line that counts up: redrawn in place on a terminal, every tenth item elsewhere."""

    def __init__(self, title: str, total: int) -> None:
        """Start at nought of ``total``."""
        self._title, self._total, self._done = title, total, 0

    def advance(self, item: str) -> None:
        """Count one more item and name it."""
        self._done += 1
        line = f"  {self._title} [{self._done}/{self._total}] {item}"
        if sys.stdout.isatty():
            say(f"\r\033[K{line}", end="")
        elif self._done % 10 == 0 or self._done == self._total:
            say(line)

    def finish(self) -> None:
        """End the redrawn line."""
        if sys.stdout.isatty() and self._done:
            say()
