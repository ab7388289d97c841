"""What tests need of the machine, and what becomes of them without it."""

import os
from typing import TypeVar

import pytest

Found = TypeVar("Found")


def need(found: Found | None, what: str, variable: str = "CI") -> Found:
    """Return what was found; if it is missing, skip the test, or fail if nothing may be skipped.

    Args:
        found: what the test needs; None, False or empty if it is missing.
        what: says that it is missing.
        variable: of the environment; with "1" or "true" the test fails.
    """
    if found:
        return found
    if os.environ.get(variable) in {"1", "true"}:
        pytest.fail(f"{what}, and {variable}={os.environ[variable]}")
    pytest.skip(what, allow_module_level=True)
