"""The HTTP suite as it is: each of its tests is collected here again."""

import importlib
import inspect
from pathlib import Path
from typing import Any

from tests.shop import http
from tests.shop.http import conftest, test_idempotency
from tests.shop.page import Page
from tests.support.stacks.containers import ContainerStack


def _tests() -> dict[str, Any]:
    found = {}
    for path in sorted(Path(http.__path__[0]).glob("test_*.py")):
        module = importlib.import_module(f"tests.shop.http.{path.stem}")
        for name, value in vars(module).items():
            if not (name.startswith("test_") and inspect.isfunction(value)):
                continue
            if {"client", "customer", "place"} & set(inspect.signature(value).parameters):
                assert name not in found, f"two tests of the suite are called {name}"
                found[name] = value
    return found


globals().update(_tests())
# The suite's fixtures, with this folder's place.
_client, _customer, _no_new_session = (
    vars(conftest)[name] for name in ("_client", "_customer", "_no_new_session")
)
_key = vars(test_idempotency)["_key"]


def test_status_page_describes_the_store(stack: ContainerStack) -> None:
    """The page /status describes the store, whatever else INFO holds."""
    with stack.browser() as browser:
        page = Page(browser.get("/status"))
        assert "Valkey" in page.words if "OVERLAYS" in stack.settings else "Redis" in page.words
        assert "Commands" in page.words
