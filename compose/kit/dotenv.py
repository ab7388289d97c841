"""Read ``.env``: the plain subset of what Docker Compose reads."""

import re
from pathlib import Path

from kit.errors import KitError

_LINE = re.compile(r"(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)")


def read(path: Path) -> dict[str, str]:
    """Return the names and values of an environment file; empty if there is no file.

    A line is ``NAME=value``, optionally quoted. ``#`` starts a comment at the start of a line, or
    after a space outside quotes. Nothing is expanded.

    Raises:
        KitError: a line has another form.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise KitError(f"{path} is not UTF-8: {error.reason}", "save it as UTF-8") from error
    values: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        value = None if match is None else _unquote(match["value"])
        if match is None or value is None:
            # The line may hold a secret, so only its number is shown.
            raise KitError(
                f"{path}, line {number} is not NAME=value",
                "write NAME=value, NAME='value' or NAME=\"value\"; .env.example shows each name",
            )
        values[match["name"]] = value
    return values


def _unquote(text: str) -> str | None:
    if text[:1] in {"'", '"'}:
        quoted = re.fullmatch(r"(['\"])(?P<inner>.*?)\1\s*(?:#.*)?", text)
        return None if quoted is None else quoted["inner"]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()
