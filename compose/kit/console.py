"""What the verbs print: their steps, and failures with hints."""

import os
import sys
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager

from kit.errors import KitError


def plain(text: str) -> str:
    """Return text in which nothing controls a terminal: clients decide what stands in logs."""
    return "".join(
        c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text
    )


def say(text: str = "", end: str = "\n") -> None:
    """Print a line to standard output at once; do nothing if nobody reads any more.

    `make up | head` must not leave half a stack.
    """
    try:
        print(text, end=end, flush=True)
    except OSError:
        # Its reader or the terminal has gone, or the disk of a log is full.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_line(text: str) -> None:
    """Print a line of a log; unlike `say`, end if nobody reads: `make logs | head`."""
    print(plain(text), flush=True)


def warn(text: str) -> None:
    """Print a warning to standard error."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def complain(error: KitError) -> None:
    """Print a failure and its hints to standard error."""
    first, *rest = map(plain, error.problem.splitlines())
    print(f"\nerror: {first}", file=sys.stderr)
    for line in rest:
        print(f"       {line}", file=sys.stderr)
    for hint in error.hints:
        print(f"  hint: {hint}", file=sys.stderr)
    sys.stderr.flush()


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print that a step begins and, once it is done, how many seconds it took."""
    say(f"  {title} …", end="")
    began = time.monotonic()
    try:
        yield
    except BaseException:
        say(" failed")
        raise
    say(f" {time.monotonic() - began:.1f} s")


class Counter:
    """A line that counts up, redrawn in place on a terminal."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0

    def advance(self, item: str) -> None:
        """Count one more item and show its name."""
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


def browse(url: str) -> None:
    """Print an address, and open it in a browser if there is a desktop."""
    say(url)
    # Without a desktop, Python would start a text browser in this terminal.
    if sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        webbrowser.open(url)
