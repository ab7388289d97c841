"""Requests that take turns at the store: the test decides which of them makes the next call."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from unsticky.stores.client import Client

from tests.support.shop.dying import STORE_CALLS

_PATIENCE = 20.0


class Died(BaseException):
    """The worker ends here, as if it were killed."""


class Turn(threading.Thread):
    """One request. It waits before each call of the store until the test lets it go on.

    Args:
        act: sends the request and returns its answer.
        dies_after: how many calls it makes at most; it never sees the answer of the last.
    """

    def __init__(self, act: Callable[[], Any], dies_after: int | None = None) -> None:
        super().__init__(daemon=True)
        self.result: Any = None
        self.calls = 0
        self.over = False
        self._act = act
        self._dies_after = dies_after
        self._go = threading.Semaphore(0)
        self._waits = threading.Semaphore(0)
        self.start()
        self._await()

    def run(self) -> None:
        """Send the request."""
        try:
            self.result = self._act()
        except Died as death:
            self.result = death
        finally:
            self.over = True
            self._waits.release()

    def let_on(self, calls: int = 1) -> None:
        """Let it make so many calls, as far as it makes any."""
        for _ in range(calls):
            if not self.over:
                self._go.release()
                self._await()

    def finish(self) -> Any:
        """Let it run to its end and return its answer, or how it died."""
        while not self.over:
            self.let_on()
        self.join()
        return self.result

    def call(self, make: Callable[[], Any]) -> Any:
        """Make one call of the store when it is time."""
        self._waits.release()
        assert self._go.acquire(timeout=_PATIENCE)
        reply = make()
        self.calls += 1
        if self.calls == self._dies_after:
            raise Died
        return reply

    def _await(self) -> None:
        assert self._waits.acquire(timeout=_PATIENCE), "a request waits for something else"


def take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every call of the store wait for its turn."""
    for name in STORE_CALLS:
        monkeypatch.setattr(Client, name, _in_turn(getattr(Client, name)))


def interleavings(switches: int) -> Iterator[Callable[[Turn, Turn], None]]:
    """Yield ways to run two requests to their ends: all with at most so many switches.

    A switch lets the other request go on before the one that runs is over. Use each way before you
    ask for the next.
    """
    plan: list[bool] = []
    while True:
        made: list[bool] = []
        yield partial(_run, plan, made)
        # The next plan: the last place where a switch can still be added.
        while made and (made[-1] or sum(made) >= switches):
            made.pop()
        if not made:
            return
        plan = [*made[:-1], True]


def _run(plan: list[bool], made: list[bool], one: Turn, other: Turn) -> None:
    """Run both to their ends; switch where the plan says so, and note where one could have."""
    while not (one.over and other.over):
        if not one.over and not other.over:
            made.append(len(made) < len(plan) and plan[len(made)])
            if made[-1]:
                one, other = other, one
        elif one.over:
            one, other = other, one
        one.let_on()


def _in_turn(call: Callable[..., Any]) -> Callable[..., Any]:
    def wait_and_call(self: object, *arguments: Any) -> Any:
        turn = threading.current_thread()
        if isinstance(turn, Turn):
            return turn.call(lambda: call(self, *arguments))
        return call(self, *arguments)

    return wait_and_call
