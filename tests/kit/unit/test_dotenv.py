"""Reading ``.env``."""

from pathlib import Path

import pytest
from kit import dotenv
from kit.errors import KitError


def test_every_form_is_read(tmp_path: Path) -> None:
    """Quotes, comments, spaces, `export` and empty values read as Docker Compose reads them."""
    path = tmp_path / ".env"
    path.write_text(
        "# comment\n\nA=1\nexport B = two words \nC='single # kept'  # gone\n"
        'D="double"\nE=a#b # gone\nF=\n'
    )
    read = {"A": "1", "B": "two words", "C": "single # kept", "D": "double", "E": "a#b", "F": ""}
    assert dotenv.read(path) == read


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_editors_file_is_read(tmp_path: Path, encoding: str, end: str) -> None:
    """Byte-order marks, UTF-16 and the line ends of other systems change no value."""
    path = tmp_path / ".env"
    lines = ["PORT=8081", "export NAME='Zoë # 1'  # gone", "", "SPLIT=a\u2028b\x0cc", "LAST=x "]
    path.write_bytes(end.join(lines).encode(encoding))
    read = {"PORT": "8081", "NAME": "Zoë # 1", "SPLIT": "a\u2028b\x0cc", "LAST": "x"}
    assert dotenv.read(path) == read


def test_utf16_without_a_mark_is_refused(tmp_path: Path) -> None:
    """UTF-16 without a byte-order mark is refused; it reads as UTF-8 with NULs."""
    path = tmp_path / ".env"
    path.write_bytes("PORT=8081\n".encode("utf-16-le"))
    with pytest.raises(KitError, match="line 1 is not NAME=value"):
        dotenv.read(path)


def test_missing_file_has_no_values(tmp_path: Path) -> None:
    """A checkout without .env has no values from it."""
    assert dotenv.read(tmp_path / ".env") == {}


@pytest.mark.parametrize("line", ["PORT 8080", "=x", "A='open", "1A=2", "A=“curly”"])
def test_malformed_line_is_named_by_number(tmp_path: Path, line: str) -> None:
    """A line that is not NAME=value is refused by its number; it may hold a secret."""
    path = tmp_path / ".env"
    path.write_text(f"# first\n{line}\n")
    with pytest.raises(KitError, match="line 2") as refusal:
        dotenv.read(path)
    assert line not in str(refusal.value)


def test_secrets_that_all_users_can_read_are_named(tmp_path: Path) -> None:
    """An editor leaves a new file readable for all; the path of a secret is none."""
    path = tmp_path / ".env"
    path.write_text(
        "PORT=80\nSECRET_KEY=x\nSECRET_KEY_FILE=/x\nREDIS_URL=redis://u:p@h/0\nA_URL=http://h\n"
        "API_TOKEN=\nDB_PASSWORD=x\n"
    )
    path.chmod(0o644)
    assert dotenv.open_secrets(path) == ["SECRET_KEY", "REDIS_URL", "DB_PASSWORD"]

    path.chmod(0o640)
    assert dotenv.open_secrets(path) == []
    assert dotenv.open_secrets(tmp_path / "missing") == []
