"""The contract suite as it is: each of its tests that asks for a store is collected here again."""

import importlib
import inspect
from pathlib import Path
from typing import Any

from tests.library import contract
from tests.library.contract.test_emptied import _met  # noqa: F401  (a fixture)

_STORES = {"place", "server_place", "own_server", "site", "store"}


def _tests() -> dict[str, Any]:
    found = {}
    for path in sorted(Path(contract.__path__[0]).glob("test_*.py")):
        if path.stem in {"test_client", "test_gevent"}:
            continue  # what is tried there is the client, behind relays on a unix socket
        module = importlib.import_module(f"tests.library.contract.{path.stem}")
        for name, value in vars(module).items():
            if not (name.startswith("test_") and inspect.isfunction(value)):
                continue
            if _STORES & set(inspect.signature(value).parameters):
                assert name not in found, f"two tests of the contract are called {name}"
                found[name] = value
    return found


globals().update(_tests())
