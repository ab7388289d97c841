"""What the browser tests need, and what becomes of them without it."""

import importlib
import importlib.util
import os
from typing import Any

import pytest


def lacking(reason: str) -> None:
    """Skip, or fail with ``CI=true``, where nothing may pass by being skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)


def playwright() -> Any:
    """Return the module that drives the browser."""
    if importlib.util.find_spec("playwright") is None:
        lacking("the package playwright is not installed")
    return importlib.import_module("playwright.sync_api")
