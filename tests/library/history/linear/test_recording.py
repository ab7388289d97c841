"""Histories of a real stack have an order, and those of broken applications have none."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.library.history.linear.checker import judge
from tests.library.history.linear.recording import Recorder
from tests.library.history.linear.stack import FAULTS, Stack, hand_over


@pytest.fixture(name="stack", scope="module")
def _stack() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="l-") as name, Stack.running(Path(name)) as stack:
        yield stack


def test_one_order_explains_all_answers(stack: Stack) -> None:
    """Through nginx, while workers, a replica and the store are killed, stopped and paused."""
    recorder = Recorder(stack.nginx.port, os.environ.get("HISTORY_SEED", "1"))
    calls = recorder.record(stack, 8, FAULTS)
    assert not recorder.odd
    verdict = judge(calls)
    assert not verdict.violations, "\n\n".join(verdict.violations[:5])
    assert verdict.unknown > 0
    assert verdict.operations > 300


def test_one_order_explains_all_answers_while_the_store_moves() -> None:
    """Workers change to another primary at different moments, and none answers from the past."""
    with (
        tempfile.TemporaryDirectory(prefix="l-") as name,
        Stack.running(Path(name), watched=True) as stack,
    ):
        recorder = Recorder(stack.nginx.port, os.environ.get("HISTORY_SEED", "1"))
        calls = recorder.record(stack, 3, [hand_over])
    assert not recorder.odd
    verdict = judge(calls)
    assert not verdict.violations, "\n\n".join(verdict.violations[:5])
    assert verdict.operations > 200


@pytest.mark.parametrize(
    ("broken", "shown"),
    [
        ("stale_read", "look"),
        ("lost_add", "cart."),
        ("revived", "the model allows: ok, nothing"),
        ("doubled_once", "made alone"),
    ],
)
def test_a_planted_fault_is_found(stack: Stack, broken: str, shown: str) -> None:
    """An application with this fault answers what no order explains."""
    for attempt in range(10):
        recorder = Recorder(stack.nginx.port, f"{broken} {attempt}", broken)
        violations = judge(recorder.record(stack, 1)).violations
        if any(shown in violation for violation in violations):
            return
    pytest.fail("nothing was found")
