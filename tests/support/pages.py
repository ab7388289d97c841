"""The code and the tables that a page shows, for a test that carries them out."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.checkout import ROOT

GUIDE = ROOT / "docs" / "your-app.md"


_HEADING_OR_BLOCK = re.compile(r"^#+ ([^\n]*)\n|^```(\w*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block of code.

    Args:
        language: what stands behind its fence.
        text: its lines.
    """

    language: str
    text: str


def blocks(heading: str, *languages: str, page: Path = GUIDE) -> list[Block]:
    """Return the blocks of one section of a page in these languages, in their order.

    Raises:
        AssertionError: there are none.
    """
    found, section = [], ""
    for title, language, text in _HEADING_OR_BLOCK.findall(page.read_text(encoding="utf-8")):
        section = title or section
        if section == heading and language in languages:
            found.append(Block(language, text))
    assert found, f"{page.name} shows no {' or '.join(languages)} under {heading!r}"
    return found


def rows(page: Path, *headings: str) -> list[list[str]]:
    """Return the cells of the lines of a page's tables, without their first lines.

    Args:
        page: the page.
        headings: the sections whose tables count; without any, all do.

    Raises:
        AssertionError: there are none.
    """
    found, section, before = [], "", ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if title := re.fullmatch("#+ (.*)", line):
            section = title[1]
        is_row = line.startswith("|") and before.startswith("|") and not set(line) <= set("|- ")
        if is_row and (not headings or section in headings):
            found.append([cell.strip() for cell in line[1:].removesuffix("|").split("|")])
        before = line
    assert found, f"{page.name} shows no table under {' or '.join(headings)}"
    return found
