"""Waiting for a condition, in place of sleeping for a guessed time; and limits on time."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

PATIENCE: Final = 30.0
"""Longer than anything takes that tests wait for, also on a busy machine (seconds)."""

Found = TypeVar("Found")


def wait_until(
    condition: Callable[[], Found | None],
    what: str,
    seconds: float = PATIENCE,
    *,
    ignoring: type[Exception] | tuple[type[Exception], ...] = (),
) -> Found:
    """Call `condition` until it returns something true, and return that.

    Args:
        condition: what is tried every hundredth of a second.
        what: describes it, for the failure.
        seconds: how long to try.
        ignoring: exceptions that mean "not yet".

    Raises:
        AssertionError: the condition did not become true in time.
    """
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(*(ignoring if isinstance(ignoring, tuple) else (ignoring,))):
            if found := condition():
                return found
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)


_TICK: Final = 0.01


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fail if the block takes longer, apart from the time for which this process did not run.

    A thread that sleeps for a hundredth of a second at a time measures how late it wakes up: so
    much the machine was busy with other work, which is not what a test is about.
    """
    ended, late = threading.Event(), [0.0]

    def tick() -> None:
        before = time.monotonic()
        while not ended.wait(_TICK):
            now = time.monotonic()
            late[0] += now - before - _TICK
            before = now

    ticking = threading.Thread(target=tick)
    started = time.monotonic()
    ticking.start()
    try:
        yield
        took = time.monotonic() - started
    finally:
        ended.set()
        ticking.join()
    assert took - late[0] < seconds, f"{took:.3f} s, {late[0]:.3f} s of them without a processor"
