"""Waiting for a condition, in place of sleeping for a guessed time."""

import contextlib
import time
from collections.abc import Callable
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
