"""What a deployment loses: the real kit under load, with changed code going in."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from loadtest import machine
from loadtest.errors import LoadTestError
from loadtest.frameworks import arrivals, contract, interpreters
from loadtest.frameworks.benchmarks.testbed import filled_cart
from loadtest.frameworks.client import Browser
from loadtest.frameworks.interpreters import Interpreter
from loadtest.harness.kit import Kit
from loadtest.harness.stack import Stack

RATE: Final = 200
"""Additions to carts per second."""

CARTS: Final = 50

# So that what a worker loses when it has been left counts.
_AFTER_SECONDS = 1


@dataclass(frozen=True)
class Losses:
    """What became of additions that arrived meanwhile.

    Attributes:
        requests: how many were sent.
        failed: refused, reset, or answered with something else than 200. None was sent again.
        missing: acknowledged with 200, and not in the cart.
        details: the first failures, in words.
    """

    requests: int
    failed: int
    missing: int
    details: list[str]

    @property
    def lost(self) -> int:
        """All that its user lost."""
        return self.failed + self.missing


def deploy(interpreter: Interpreter, worker_class: str, parser: str, times: int) -> Losses:
    """Start the kit's stack, add to carts at a steady rate, and deploy changed code so many times.

    Raises:
        LoadTestError: the stack cannot be started or deployed, or has another parser.
    """
    with tempfile.TemporaryDirectory(prefix="deploy-") as name:
        stack = Kit(
            Path(name),
            APP_DIR="",
            RUNTIME="local",
            PYTHON=interpreter.path,
            WORKER_CLASS=worker_class,
            THREADS="4" if worker_class == "gthread" else "1",
            VENV_DIR=str(interpreters.folder(parser)),
            SMOKE_SECONDS="0",
        )
        try:
            stack.succeed("up")
            running = Stack.running(stack.state)
            require_parser(running.environment if running else None, parser)
            return losses(stack.port, lambda: _deploy(stack, times))
        finally:
            stack.dispose()


def losses(port: int, action: Callable[[], None]) -> Losses:
    """Return what is lost of additions to carts behind a port while something is done to it."""
    browsers = [filled_cart(port) for _ in range(CARTS)]
    before = _pieces(browsers)
    cookies = [browser.header() for browser in browsers]
    with arrivals.arriving(port, cookies, RATE, mode="add") as found:
        action()
        time.sleep(_AFTER_SECONDS)
    missing = before + found.acknowledged - _pieces(browsers)
    return Losses(found.requests, found.failed, max(0, missing), found.details)


def require_parser(environment: Path | None, parser: str) -> None:
    """Refuse a stack whose environment is not the one that was prepared.

    Raises:
        LoadTestError: it has another parser, or no environment that could be looked at.
    """
    # Without one, `versions` would look at that of the benchmark.
    if environment is None:
        raise LoadTestError(
            "the stack does not run, or in no environment of its own",
            "see whether `make up` starts one that stays up",
        )
    has_c = bool(machine.versions(["gunicorn_h1c"], environment))
    if has_c != (parser == "C"):
        raise LoadTestError(
            f"the stack runs {'with' if has_c else 'without'} gunicorn_h1c, and not with the "
            f"{parser} parser",
            f"remove {environment}: the benchmark builds it again",
        )


def _deploy(stack: Kit, times: int) -> None:
    for _ in range(times):
        stack.change()
        stack.succeed("deploy")


def _pieces(browsers: Sequence[Browser]) -> int:
    counts = []
    for browser in browsers:
        status, body = browser.ask("GET", contract.CART)
        if status != HTTPStatus.OK:
            raise LoadTestError(f"GET {contract.CART} was answered {status}")
        counts.append(body["count"])
    return sum(counts)
