"""Stacks in containers for the tests of this folder, in place of those of the local runtime."""

from tests.conftest import own_stack, shared_stack
from tests.support.stacks.containers import new_containers

__all__ = ["new_containers", "own_stack", "shared_stack"]
