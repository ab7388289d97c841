"""The lines of the page, whose second column is what the tests set and run."""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, Final

import pytest
from unsticky import session

from tests.support.checkout import ROOT
from tests.support.pages import rows

PAGE: Final = ROOT / "docs" / "migrating-from-express.md"


@dataclass
class Line:
    """A line of the page.

    Attributes:
        express: what its first column names.
        settings: what its second column sets in `app.config`.
        code: what its second column does in a view, in order.
    """

    express: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    code: list[str] = field(default_factory=list)

    def run(self, **names: Any) -> Any:
        """Run the code, with these names and `session`; return what its last expression is."""
        value = None
        for each in self.code:
            kind = "exec" if isinstance(ast.parse(each).body[0], ast.Assign) else "eval"
            code = compile(each, str(PAGE), kind)
            value = FunctionType(code, {"session": session, **names})()
        return value


class Lines:
    """The lines of some sections.

    Args:
        *headings: the sections.

    Attributes:
        by_name: each line by its first column.
    """

    def __init__(self, *headings: str) -> None:
        found = rows(PAGE, *headings)
        self.by_name = {cells[0].replace("`", ""): _line(*cells[:2]) for cells in found}
        assert len(self.by_name) == len(found)
        self._shown: list[str] = []

    def shows(self, *names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Run a test with each of these lines, as `line`."""
        self._shown.extend(names)
        lines = [self.by_name[name] for name in names]
        return pytest.mark.parametrize("line", lines, ids=names)

    def not_shown(self) -> set[str]:
        """Return the names of the lines that no test shows."""
        return self.by_name.keys() - self._shown


def _line(express: str, here: str) -> Line:
    line = Line(_code_in(express))
    for each in _code_in(here):
        if setting := re.fullmatch("([A-Z_]+)=(.+)", each):
            line.settings[setting[1]] = ast.literal_eval(setting[2])
        else:
            line.code.append(each)
    return line


def _code_in(cell: str) -> list[str]:
    return re.findall("`([^`]+)`", cell)
