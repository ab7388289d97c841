"""Reading the services' logs."""

import json
from pathlib import Path

import pytest
from kit.console import complain
from kit.errors import KitError
from kit.system import logs


def test_tracebacks_are_shortened() -> None:
    """JSON lines become their message and the end of their trace; plain traces their last line."""
    lines = [
        json.dumps({"message": "boom", "exception": "Traceback\n  a\n  File x\n    y()\nKeyError"}),
        "Traceback (most recent call last):",
        '  File "x", line 1',
        "ValueError: plain",
        "ValueError: plain",
    ]
    assert logs.condensed(lines) == ["boom", "  File x", "    y()", "KeyError", "ValueError: plain"]


def test_last_lines_are_those_of_this_run(tmp_path: Path) -> None:
    """Only lines after the given byte count, unless the file has been rotated since."""
    path = tmp_path / "app.log"
    path.write_text("old\nnew 1\nnew 2\n")
    assert logs.last_lines(path, 5, start=4) == ["new 1", "new 2"]
    assert logs.last_lines(path, 1) == ["new 2"]
    assert logs.last_lines(path, 5, start=4000) == ["old", "new 1", "new 2"]
    assert logs.last_lines(tmp_path / "none.log", 5) == []


def test_log_files_are_those_of_one_service(tmp_path: Path) -> None:
    """A service's files are its own: app-1 is not app-10."""
    for name in ("app-1.log", "app-1.access.log", "app-10.log", "nginx.log"):
        (tmp_path / name).touch()
    assert [p.name for p in logs.files(tmp_path, "app-1")] == ["app-1.access.log", "app-1.log"]
    assert len(logs.files(tmp_path, None)) == 4


def test_following_ends_with_the_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If nothing runs, the last lines are printed and nothing is waited for."""
    path = tmp_path / "app-1.log"
    path.write_text("old\nlast\n")
    logs.follow([path], 1, lambda: False)
    assert capsys.readouterr().out == "app-1 | last\n"


def test_nothing_in_a_log_controls_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Escape sequences, also those of one byte, and changes of direction are shown as text."""
    path = tmp_path / "app-1.log"
    path.write_text("é\t\x1b]0;title\x07 \x9b31m \u202e \x7f\n", encoding="utf-8")
    logs.follow([path], 1, lambda: False)
    complain(KitError(logs.last_words([json.dumps({"message": "\x1b[31m"})])))
    printed = capsys.readouterr()
    assert printed.out == (r"app-1 | é" + "\t" + r"\x1b]0;title\x07 \x9b31m \u202e \x7f" + "\n")
    assert r"\x1b[31m" in printed.err
    assert "\x1b" not in printed.err
