"""Read what a client sends, strictly; each fault has one status.

The first check that fails answers: 413 too large, 415 not JSON by its content type, 400 not a JSON
object, 422 a field that cannot be used or that the call does not have. If an unknown field were
ignored, a client that writes `quantity` for `qty` would be told that its request was carried out.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from flask import request

from shop.errors import MOST_QUOTED, quoted
from shop.http.problems import Problem

FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")

_MOST_UNKNOWN = 8
"""Unknown fields that an answer names: a body of 64 KiB can have thousands."""

_MISSING: Final = object()

Rule = Callable[[object], str | None]
"""Returns what is wrong with the value of a field, None if it can be used."""


def json_object() -> dict[str, Any]:
    """Return the body of this request, a JSON object (RFC 8259) in UTF-8.

    Raises:
        Problem: 415 or 400.
        RequestEntityTooLarge: If the body is over the limit.
    """
    _require_type("application/json")
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


def read(values: Mapping[str, Any], rules: Mapping[str, Rule], **defaults: Any) -> dict[str, Any]:
    """Return the fields of a body.

    Args:
        values: What the client sent.
        rules: The fields that the call has.
        defaults: Values of fields that may be missing.

    Raises:
        Problem: 422, whose `errors` name each field that is wrong or that the call does not have.
    """
    given = {**defaults, **values}
    wrong = {name: rule(given.get(name, _MISSING)) for name, rule in rules.items()}
    takes = f"is no field of this call, which takes {', '.join(sorted(rules))}"
    unknown = [name[:MOST_QUOTED] for name in values if name not in rules][:_MOST_UNKNOWN]
    errors = [{"field": name, "detail": detail} for name, detail in wrong.items() if detail]
    errors += [{"field": name, "detail": takes} for name in unknown]
    if errors:
        names = ", ".join(error["field"] for error in errors)
        raise Problem(422, f"These fields cannot be used: {names}.", errors=errors)
    return {name: given[name] for name in rules}


def text(value: object) -> str | None:
    """Require a string."""
    return None if isinstance(value, str) else f"must be a string; it is {_shown(value)}"


def integer(lowest: int, highest: int) -> Rule:
    """Require an integer in these bounds; never a bool, a float or a string."""

    def wrong(value: object) -> str | None:
        # By its exact type: bool is an int in Python, but true is no quantity.
        if type(value) is int and lowest <= value <= highest:
            return None
        return f"must be an integer from {lowest} to {highest}; it is {_shown(value)}"

    return wrong


def secret(lengths: range) -> Rule:
    """Require a string that no answer may show, with so many characters."""

    def wrong(value: object) -> str | None:
        if not isinstance(value, str):
            return "must be a string"
        if len(value) not in lengths:
            return f"must have {lengths[0]} to {lengths[-1]} characters; it has {len(value)}"
        # JSON can hold half of a surrogate pair (RFC 8259, 8.2); no hash takes it.
        if any("\ud800" <= character <= "\udfff" for character in value):
            return "must be Unicode text, without lone surrogates"
        return None

    return wrong


def _shown(value: object) -> str:
    shown = "missing" if value is _MISSING else json.dumps(value)
    return shown if len(shown) <= MOST_QUOTED else shown[:MOST_QUOTED] + "…"


def _require_type(*types: str) -> None:
    expected = " or ".join(types)
    if request.mimetype not in types:
        given = quoted(request.mimetype) if request.mimetype else "missing"
        detail = f"The Content-Type is {given}; this call takes {expected}."
        raise Problem(415, detail, headers={"Accept": ", ".join(types)})
    coding = request.headers.get("Content-Encoding", "identity")
    if coding.lower() != "identity":
        detail = f"The Content-Encoding is {quoted(coding)}; send the body as it is."
        raise Problem(415, detail, headers={"Accept-Encoding": "identity"})


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers differ in which of two equal names counts (RFC 8259, 4): a proxy or a log could read
    # another quantity than the shop.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object names a member twice")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
