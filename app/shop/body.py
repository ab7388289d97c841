"""Reading what a client sends: strict, and each way to be wrong has one status.

The checks come in this order, and the first that fails answers: 413 too large,
415 not JSON by its content type, 400 not a JSON object, 422 a field that cannot
be used. Fields that a call does not know are ignored: while a release is being
rolled out, a client of the newer one may meet the older.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from flask import request

from shop.problems import Problem

FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
JSON_TYPE = "application/json"


def json_object() -> dict[str, Any]:
    """Return the body of this request, a JSON object (RFC 8259) in UTF-8.

    Raises:
        Problem: 415 or 400, as above.
        RequestEntityTooLarge: If the body is over the limit.
    """
    _require_type(JSON_TYPE)
    data = request.get_data()
    try:
        parsed = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_number
        )
    except RecursionError:
        raise Problem(400, "The body is nested too deeply.") from None
    except ValueError as error:  # also UnicodeDecodeError, and integers too long to convert
        raise Problem(400, f"The body is not JSON in UTF-8: {error}.") from None
    if not isinstance(parsed, dict):
        raise Problem(400, 'The body must be a JSON object, such as {"sku": "tea", "qty": 1}.')
    return parsed


def form_fields() -> Mapping[str, str]:
    """Return the fields of the form that this request submits.

    Raises:
        Problem: 415 if it is not a form.
        RequestEntityTooLarge: If the body is over the limit.
    """
    _require_type(*FORM_TYPES)
    return request.form


def _require_type(*types: str) -> None:
    expected = " or ".join(types)
    if request.mimetype not in types:
        given = repr(request.mimetype) if request.mimetype else "missing"
        detail = f"The Content-Type is {given}; this call takes {expected}."
        raise Problem(415, detail, headers={"Accept": ", ".join(types)})
    coding = request.headers.get("Content-Encoding", "identity")
    if coding.lower() != "identity":
        detail = f"The Content-Encoding is {coding!r}; send the body as it is."
        raise Problem(415, detail, headers={"Accept-Encoding": "identity"})


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Which of two equal names counts differs between parsers (RFC 8259, 4), so
    # a proxy or a log could have read another quantity than we.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object names a member twice")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
