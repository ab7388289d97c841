"""Reading ``.env``."""

from pathlib import Path

import pytest
from kit import dotenv
from kit.errors import KitError


def test_every_form_is_read(tmp_path: Path) -> None:
    """Quotes, comments, spaces, `export` and empty values read as Docker Compose reads them."""
    path = tmp_path / ".env"
    path.write_text(
        "# comment\n"
        "\n"
        "A=1\n"
        "export B = two words \n"
        "C='single # kept'  # gone\n"
        'D="double"\n'
        "E=a#b # gone\n"
        "F=\n"
    )

    assert dotenv.read(path) == {
        "A": "1",
        "B": "two words",
        "C": "single # kept",
        "D": "double",
        "E": "a#b",
        "F": "",
    }


def test_missing_file_has_no_values(tmp_path: Path) -> None:
    """A checkout without .env has no values from it."""
    assert dotenv.read(tmp_path / ".env") == {}


@pytest.mark.parametrize("line", ["PORT 8080", "=x", "A='open", "1A=2"])
def test_malformed_line_is_named_by_number(tmp_path: Path, line: str) -> None:
    """A line that is not NAME=value is refused by its number; it may hold a secret."""
    path = tmp_path / ".env"
    path.write_text(f"# first\n{line}\n")

    with pytest.raises(KitError, match="line 2") as refusal:
        dotenv.read(path)

    assert line not in str(refusal.value)
