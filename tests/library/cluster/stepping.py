"""Calls that span slots, step by step: the steps of two calls in every order, and every end of one.

A step is a round trip. Each call runs in a thread, which waits before each step until it may go on.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from unsticky import SessionError
from unsticky.stores.cluster import ClusterClient

from tests.support.waiting import PATIENCE


class Killed(BaseException):
    """The process that made the call died."""


class Taken:
    """A call that is taken step by step.

    Attributes:
        outcome: what it returned; None until then.
        failure: what it raised.
        done: it ended.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self.outcome: object = None
        self.failure: BaseException | None = None
        self.done = False
        self._killed = False
        self._go, self._waits = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        _of_threads[self._thread] = self
        self._thread.start()
        self._arrive()

    def step(self) -> None:
        """Let it take its next step, and wait until it has."""
        self._go.release()
        self._arrive()

    def kill(self) -> None:
        """End it before its next step."""
        self._killed = True
        self.step()

    def pause(self) -> None:
        """Wait for the next step; it is the call's own thread that waits."""
        self._waits.release()
        assert self._go.acquire(timeout=PATIENCE)
        if self._killed:
            raise Killed

    def _arrive(self) -> None:
        assert self._waits.acquire(timeout=PATIENCE)
        if self.done:
            self._thread.join()
            _of_threads.pop(self._thread, None)

    def _run(self, call: Callable[[], object]) -> None:
        try:
            self.outcome = call()
        except (SessionError, Killed) as error:
            self.failure = error
        finally:
            self.done = True
            self._waits.release()


_of_threads: dict[threading.Thread, Taken] = {}


class Pausing(ClusterClient):
    """A client whose calls wait before each step, if they are taken step by step."""

    def _answered(self, *arguments: Any) -> Any:  # each round trip goes through it
        taken = _of_threads.get(threading.current_thread())
        if taken is not None:
            taken.pause()
        return super()._answered(*arguments)


def orders(make: Callable[[], Sequence[Taken]], most: int) -> Iterator[tuple[str, Sequence[Taken]]]:
    """Take the calls that `make` makes in every order of their steps; yield each order at its end.

    An order names the call that takes each step, by its place. In none is it another call's turn
    more than `most` times: two logins at the limit have 12,870 orders.
    """
    untried = [""]
    while untried:
        order = untried.pop()
        calls = make()
        for name in order:
            calls[int(name)].step()
        while ready := [str(place) for place, call in enumerate(calls) if not call.done]:
            # It goes on with the call that took the last step, so that only `untried` has turns.
            here = order[-1] if order[-1:] in ready else ready[0]
            others = [order + other for other in ready if other != here]
            untried += [other for other in others if _turns(other) <= most]
            order += here
            calls[int(here)].step()
        yield order, calls


def _turns(order: str) -> int:
    return sum(one != other for one, other in pairwise(order))
