"""What the documentation names exists, and what exists is documented."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

_FOLDERS = ("*.md", "docs/*.md", "[cn]*/README.md", "compose/*/README.md")
_PAGES = sorted(page for pattern in _FOLDERS for page in ROOT.glob(pattern))


def _read_keys() -> set[str]:
    keys = set()
    for source in (ROOT / "app" / "unsticky").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                keys |= set(re.findall(r"^(?:UNSTICKY|SESSION|SECRET|REDIS)_[A-Z_]+$", node.value))
    return keys | {"PERMANENT_SESSION_LIFETIME", "APPLICATION_ROOT"}


def test_every_setting_is_documented_and_read() -> None:
    """The keys that the library reads are those of docs/configuration.md."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    documented = set(re.findall(r"`([A-Z]+_[A-Z_]+)`", text))
    assert documented == _read_keys()


def test_every_named_test_exists() -> None:
    """Each test that a page names by file, or by file and function, is there."""
    missing = []
    for page in _PAGES:
        for path, name in re.findall(r"`(tests/[\w/.]+?)(?:::(\w+))?`", page.read_text()):
            target = ROOT / path
            if not target.exists() or (name and f"def {name}(" not in _tests_in(target)):
                missing.append(f"{page.name}: {path}::{name}")
    assert missing == []


def _tests_in(file: Path) -> str:
    """Return the text of a file of tests, and of those that it takes from the library."""
    text = file.read_text()
    taken = re.findall(r"^from unsticky.testing.contract import (.*)$", text, re.MULTILINE)
    names = [name for line in taken for name in line.split(", ")]
    folder = ROOT / "app" / "unsticky" / "testing" / "contract"
    return text + "".join((folder / f"{name}.py").read_text() for name in names)


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Links inside the repository lead to files that are there."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
