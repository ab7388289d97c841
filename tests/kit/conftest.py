"""A stack of one worker, for tests that break it or its machine."""

from collections.abc import Iterator

import pytest

from tests.conftest import StartStack
from tests.support.stacks.local import Stack


@pytest.fixture(name="small")
def _small(new_stack: StartStack) -> Iterator[Stack]:
    """A stack of one replica with one worker, not started."""
    stack = new_stack(REPLICAS="1", WORKERS="1", READY_TIMEOUT="15")
    yield stack
    assert not stack.dispose()
