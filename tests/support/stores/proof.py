"""The tests that come with the library, for a suite of ours that runs them on its own stores."""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any


def collected_from(*modules: ModuleType) -> dict[str, Callable[..., Any]]:
    """Return the tests of modules of `unsticky.testing`, by name."""
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if name.startswith("test_") and inspect.isfunction(value)
    }
