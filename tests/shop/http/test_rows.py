"""Each row of docs/http-api.md has a test of its name, and each test has a row."""

import ast
from pathlib import Path

from tests.shop.http.rows import behaviours, cases


def test_each_row_has_a_test() -> None:
    """The rows and the tests of this folder are the same set, and no id is there twice."""
    ids = [*behaviours(), *(case.id for case in cases())]
    assert len(ids) == len(set(ids))
    tests = {
        node.name.removeprefix("test_").replace("_", "-")
        for path in Path(__file__).parent.glob("test_*.py")
        if path != Path(__file__)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert tests == {*behaviours(), "case"}
