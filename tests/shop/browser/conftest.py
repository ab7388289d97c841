"""A browser, its windows, and the accessibility checker."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.shop.browser import axe
from tests.shop.browser.needs import lacking, playwright

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.support.stacks.local import Stack

NewPage = Callable[..., "Page"]

# Debian's chromium runs as root, without a network of its own.
_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(name="chromium", scope="session")
def _chromium() -> Iterator["Browser"]:
    """A browser for the whole run."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    driver = playwright()
    if program is None:
        lacking("no chromium is on the PATH; CHROMIUM=/path/to/it names another")
    with driver.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(name="new_page")
def _new_page(chromium: "Browser", stack: "Stack") -> Iterator[NewPage]:
    """Open windows, each of another visitor; no page may complain, such as of its policy."""
    contexts = []
    complaints: list[str] = []

    def note(text: str) -> None:
        # Pages that say so, and what a logout clears, are what was asked for.
        if not any(word in text for word in ("401", "404", "422", "Clear-Site-Data")):
            complaints.append(text)

    def make(at: "Stack | None" = None, **options: Any) -> "Page":
        base = f"http://127.0.0.1:{(at or stack).port}"
        contexts.append(chromium.new_context(base_url=base, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: note(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture(name="page")
def _page(new_page: NewPage) -> "Page":
    """A visitor without JavaScript."""
    return new_page(java_script_enabled=False)


@pytest.fixture(name="axe_source", scope="session")
def _axe_source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The accessibility checker's script."""
    try:
        return axe.source(tmp_path_factory.mktemp("axe"))
    except axe.MissingError as error:
        lacking(str(error))
        raise


@pytest.fixture(name="pictures", scope="session")
def _pictures() -> Path | None:
    """Where to put the README's pictures; ``PICTURES=docs/pictures`` takes them again."""
    folder = os.environ.get("PICTURES")
    return Path(folder) if folder else None
