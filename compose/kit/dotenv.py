"""Read ``.env``: the plain subset of what Docker Compose reads."""

import codecs
import re
import stat
import unicodedata
from pathlib import Path

from kit.errors import KitError

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)")

_SECRET = re.compile(r"(?:SECRET|PASSWORD|TOKEN|KEY)$", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"://[^/@]*:[^/@]+@")


def read(path: Path) -> dict[str, str]:
    """Return the names and values of an environment file; empty if there is no file.

    A line is ``NAME=value``, optionally quoted. ``#`` starts a comment at the start of a line, or
    after a space outside quotes. Nothing is expanded. The encoding is UTF-8, or UTF-16 with a
    byte-order mark, and a line may end as on any system.
    """
    try:
        text = _decoded(path.read_bytes())
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise KitError(f"{path} is not UTF-8: {error.reason}", "save it as UTF-8") from error
    values: dict[str, str] = {}
    # Not `splitlines`, which also ends a line at characters that a value may contain.
    for number, raw in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        value = None if match is None else _unquote(match["value"])
        if match is None or value is None:
            # The line may hold a secret, so only its number is shown.
            raise KitError(
                f"{path}, line {number} is not NAME=value",
                "write NAME=value, NAME='value' or NAME=\"value\" with straight quotes; "
                ".env.example shows each name",
            )
        values[match["name"]] = value
    return values


def open_secrets(path: Path) -> list[str]:
    """Return the names in an environment file that look like secrets, if all users may read it."""
    if not path.exists() or not path.stat().st_mode & stat.S_IROTH:
        return []
    values = {name: text for name, text in read(path).items() if text}
    return [n for n, text in values.items() if _SECRET.search(n) or _PASSWORD_IN_URL.search(text)]


def _decoded(data: bytes) -> str:
    """Decode what an editor saved; a byte-order mark is not part of the first name."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def _unquote(text: str) -> str | None:
    """Return a value without its quotes; None if it is malformed."""
    # Typographic quotes are a word processor's, and NUL is one of UTF-16 without a mark.
    if unicodedata.category(text[:1] or " ") in {"Pi", "Pf"} or "\0" in text:
        return None
    if text[:1] in {"'", '"'}:
        quoted = re.fullmatch(r"(['\"])(?P<inner>.*?)\1\s*(?:#.*)?", text)
        return None if quoted is None else quoted["inner"]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()
