"""The code that docs/copying.md shows, for a test that carries it out."""

import re
from dataclasses import dataclass

from tests.support.checkout import ROOT

GUIDE = ROOT / "docs" / "copying.md"


@dataclass(frozen=True)
class Block:
    """One block of code.

    Args:
        heading: the section that it stands in.
        language: what stands behind its fence.
        text: its lines.
    """

    heading: str
    language: str
    text: str


def blocks(heading: str, *languages: str) -> list[Block]:
    """Return the blocks of one section in these languages, in their order.

    Raises:
        AssertionError: there are none.
    """
    found = [block for block in _read() if block.heading == heading and block.language in languages]
    assert found, f"docs/copying.md shows no {' or '.join(languages)} under {heading!r}"
    return found


def _read() -> list[Block]:
    found, heading, language, lines = [], "", "", list[str]()
    for line in GUIDE.read_text(encoding="utf-8").splitlines(keepends=True):
        fence = re.fullmatch(r"```(\w*)\n", line)
        if fence and language:
            found.append(Block(heading, language, "".join(lines)))
            language, lines = "", []
        elif fence:
            language = fence[1]
        elif language:
            lines.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("#").strip()
    return found
