"""Stacks in containers for the tests of the verbs, in place of those of the local runtime."""

from tests.support.stacks.containers import new_containers

__all__ = ["new_containers"]
