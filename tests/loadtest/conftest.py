"""One stack for the broken builds and for a user's application, restarted as each of them."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartStack, copy_checkout
from tests.support.checkout import ROOT
from tests.support.stacks.local import Stack


@pytest.fixture(name="copied", scope="package")
def _copied(tmp_path_factory: pytest.TempPathFactory, new_stack: StartStack) -> Iterator[Stack]:
    """A stack of a copied checkout that also has the broken builds and a user's application."""
    checkout = tmp_path_factory.mktemp("copied")
    copy_checkout(checkout)
    ours = [Path(__file__).with_name(name) for name in ("broken.py", "notes.py")]
    for path in (*ours, ROOT / "loadtest" / "prove" / "wrong.py"):
        shutil.copy(path, checkout / "app")
    stack = new_stack(REPLICAS="2", WORKERS="2", SHOP_DEMO="1")
    stack.checkout = checkout
    yield stack
    error = stack.dispose()
    assert not error, error
