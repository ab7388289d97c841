"""The contract suite as it is: each of its tests that asks for a store is collected here again."""

import importlib
import inspect
from pathlib import Path
from typing import Any

from tests.library import contract

_STORES = {"place", "server_place", "own_server", "site", "store"}


def collected() -> dict[str, Any]:
    """Return the tests of the contract suite that ask for a store, by name, and a fixture."""
    found = {}
    for path in sorted(Path(contract.__path__[0]).glob("test_*.py")):
        if path.stem in {"test_client", "test_gevent"}:
            continue  # what is tried there is the client, behind relays on a unix socket
        module = importlib.import_module(f"tests.library.contract.{path.stem}")
        for name, value in vars(module).items():
            if name == "_met":
                found[name] = value  # a fixture
            if not (name.startswith("test_") and inspect.isfunction(value)):
                continue
            if _STORES & set(inspect.signature(value).parameters):
                assert name not in found, f"two tests of the contract are called {name}"
                found[name] = value
    return found


globals().update(collected())
