"""What the cart calls take and answer, whatever the framework and the session.

A cart is a dict of quantities by sku. The calls are those of the shop's HTTP contract.
"""

import json
import os
from pathlib import Path
from typing import Any, Final

from loadtest.frameworks import contract

MOST_PER_LINE: Final = 99
SECRET: Final = "not-secret: signs the cookies of a measurement"
LIFETIME: Final = int(os.environ.get("LIFETIME") or 31 * 24 * 3600)
"""Of an unused session, in seconds: by default Flask's own, for all peers."""

_PRODUCTS: Final[dict[str, dict[str, Any]]] = json.loads(
    Path(__file__).parents[1].joinpath("catalog.json").read_text(encoding="utf-8")
)


class Refused(Exception):
    """The call cannot be carried out: a status code, and one sentence for the caller."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status

    @property
    def problem(self) -> dict[str, Any]:
        """The body of the answer, a problem document (RFC 9457)."""
        return {"status": self.status, "detail": str(self)}


def parsed(content_type: str, data: bytes) -> dict[str, Any]:
    """Return a body that must be a JSON object.

    Raises:
        Refused: 415 or 400.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refused(415, "this call takes application/json")
    try:
        body = json.loads(data)
    except ValueError as error:
        raise Refused(400, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refused(400, "the body must be a JSON object")
    return body


def wanted(body: dict[str, Any]) -> tuple[str, int]:
    """Return the sku and the quantity of a body.

    Raises:
        Refused: 422 or 404.
    """
    sku, qty = body.get("sku"), body.get("qty", 1)
    if type(qty) is not int or not 1 <= qty <= MOST_PER_LINE:
        raise Refused(422, f"qty must be an integer from 1 to {MOST_PER_LINE}")
    if not isinstance(sku, str):
        raise Refused(422, "sku must be a string")
    if sku not in _PRODUCTS:
        raise Refused(404, f"no product has the sku {sku!r}")
    return sku, qty


def full(sku: str) -> Refused:
    """Return the refusal of a line that would hold too many pieces."""
    return Refused(409, f"a line holds at most {MOST_PER_LINE} of {sku!r}; nothing was changed")


def add(lines: dict[str, int], sku: str, qty: int) -> None:
    """Add to a line of a cart that is a plain dict.

    Raises:
        Refused: 409.
    """
    now = lines.get(sku, 0) + qty
    if now > MOST_PER_LINE:
        raise full(sku)
    lines[sku] = now


def shown(lines: dict[str, int]) -> dict[str, Any]:
    """Return the cart as every call answers."""
    items = [{"sku": sku, "qty": lines[sku], **_PRODUCTS[sku]} for sku in sorted(lines)]
    return {
        "items": items,
        "count": sum(lines.values()),
        "total_cents": sum(item["qty"] * item["price_cents"] for item in items),
    }


def other_state() -> Refused:
    """Return the refusal of an OAuth callback whose state is not in the session."""
    return Refused(400, contract.OTHER_STATE)


def nothing_to_end(user: str) -> Refused:
    """Return the refusal to end sessions that browsers hold."""
    detail = f"no server holds the sessions of {user!r}: there is nothing to end"
    return Refused(contract.NOTHING_TO_REVOKE, detail)
