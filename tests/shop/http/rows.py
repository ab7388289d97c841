"""The rows of docs/http-api.md."""

import re
from dataclasses import dataclass
from typing import Final

from tests.support.checkout import ROOT
from tests.support.pages import rows

_BODIES: Final = {
    "not UTF-8": b'{"sku":"\xe9"}',
    "a byte order mark before JSON": b'\xef\xbb\xbf{"sku":"tea"}',
    "JSON in UTF-16": '{"sku":"tea"}'.encode("utf-16"),
    "a number of 5,000 digits": b'{"sku":"tea","qty":' + b"9" * 5000 + b"}",
    "50,000 open brackets": b"[" * 50_000,
    "65,537 bytes": b'{"sku":"tea"}'.ljust(65_537),
    "65,536 bytes": b'{"sku":"tea"}'.ljust(65_536),
}

_PAGE: Final = ROOT / "docs" / "http-api.md"


@dataclass(frozen=True)
class Case:
    """A row that says which request gets which status.

    Attributes:
        says: The words of the last column.
    """

    id: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int
    says: set[str]


def behaviours() -> list[str]:
    """Return the ids of the rows that describe a behaviour."""
    two = [cells[0] for cells in rows(_PAGE) if len(cells) == 2]
    return [first for first in two if re.fullmatch("[a-z][a-z0-9-]+", first)]


def cases() -> list[Case]:
    """Return the rows that describe one request."""
    return [_case(*cells) for cells in rows(_PAGE) if len(cells) == 6 and cells[4].isdigit()]


def _case(id_: str, request: str, header: str, body: str, status: str, says: str) -> Case:
    method, path = request.strip("`").split()
    headers = {"Content-Type": "application/json"} if method in {"POST", "PUT"} else {}
    for field in re.findall("`([^`]+)`", header):
        name, _, value = field.partition(":")
        headers[name] = value.strip()
    if not headers.get("Content-Type", "x"):
        del headers["Content-Type"]
    content = body.strip("`").encode() if body.startswith("`") else _BODIES.get(body, b"")
    words = {word.strip() for word in says.split(",") if word.strip()}
    return Case(id_, method, path, headers, content, int(status), words)
