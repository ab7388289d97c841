"""A PUT or DELETE that nginx sends twice: the second run must not deny what the first one did.

If a replica dies before it answers, nginx sends the request to another one, with the same
`X-Request-ID`. A view whose first run changes what its second run checks, such as the current
password, notes what it is about to do. The second run reads the note.
"""

import json
from typing import Any, Final

from flask import request

from shop.context import current_shop, request_id
from shop.store import key

_KEPT: Final = 60
"""Seconds; nginx sends nothing again after 35."""


def note(plan: object) -> Any:
    """Note what this request is about to do; return what its first run noted, or this.

    Args:
        plan: As JSON has it.

    Raises:
        StoreUnavailable: The store cannot be reached.
    """
    name = _key()
    commands = ("SET", name, json.dumps(plan), "NX", "EX", _KEPT), ("GET", name)
    return json.loads(current_shop().store.ask_all(*commands)[1])


def noted() -> Any:
    """Return what the first run of this request noted; None if it noted nothing or this is it.

    Raises:
        StoreUnavailable: The store cannot be reached.
    """
    found = current_shop().store.ask("GET", _key())
    return json.loads(found) if found else None


def _key() -> str:
    return key("resend", "request", str(request_id()), request.method, request.path)
