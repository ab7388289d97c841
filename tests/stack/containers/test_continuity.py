"""The proofs of continuity and of races, as they are, on containers."""

from collections.abc import Iterator

import pytest

from tests.stack.local.test_continuity import (  # noqa: F401  (collected here, with this folder's stacks)
    test_a_session_meets_the_workers,
    test_concurrent_adds_are_all_kept,
    test_every_worker_sees_and_changes_one_cart,
    test_sessions_do_not_mix,
)
from tests.support.stacks.containers import ContainerStack, StartContainers


@pytest.fixture(name="eight_workers", scope="module", params=["redis", "valkey"])
def _eight_workers(
    request: pytest.FixtureRequest, new_stack: StartContainers
) -> Iterator[ContainerStack]:
    overlays = {"OVERLAYS": "valkey"} if request.param == "valkey" else {}
    stack = new_stack(REPLICAS="2", WORKERS="4", **overlays)
    stack.up()
    yield stack
    assert not stack.dispose()
