"""Read what a client sends, strictly; each fault has one status.

The first check that fails answers: 413 too large, 415 not JSON by its content type, 400 not a JSON
object, 422 a field that cannot be used or that the call does not have. If an unknown field were
ignored, a client that writes `quantity` for `qty` would be told that its request was carried out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from flask import request

from shop.http.problems import MOST_QUOTED, Problem, quoted

FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
JSON_TYPE = "application/json"

_MOST_UNKNOWN = 8
"""Unknown fields that an answer names: a body of 64 KiB can have thousands."""

_T = TypeVar("_T")


def json_object() -> dict[str, Any]:
    """Return the body of this request, a JSON object (RFC 8259) in UTF-8.

    Raises:
        Problem: 415 or 400.
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


class Fields:
    """The fields of one body; a body with several faults gets one 422 that names them.

    Read each field, then call `check`. What the methods return is only valid if `check` passed.

    Args:
        values: The fields by name.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._known: set[str] = set()
        self._errors: list[dict[str, str]] = []

    def text(self, name: str) -> str:
        """Return a string field."""
        value = self._value(name)
        if isinstance(value, str):
            return value
        return self._wrong(name, "must be a string", "")

    def secret(self, name: str, lengths: range) -> str:
        """Return a string field that no answer may show.

        Args:
            name: The field.
            lengths: How many characters it may have.
        """
        value = self._value(name)
        if not isinstance(value, str):
            return self._refuse(name, "must be a string", "")
        if len(value) not in lengths:
            rule = f"must have {lengths[0]} to {lengths[-1]} characters; it has {len(value)}"
            return self._refuse(name, rule, "")
        # JSON can hold half of a surrogate pair (RFC 8259, 8.2); no hash takes it.
        if any("\ud800" <= character <= "\udfff" for character in value):
            return self._refuse(name, "must be Unicode text, without lone surrogates", "")
        return value

    def integer(self, name: str, lowest: int, highest: int, default: int | None = None) -> int:
        """Return an integer field; never a bool, a float or a string.

        Args:
            name: The field.
            lowest: The least it may be.
            highest: The most it may be.
            default: Its value if it is missing; without one it must be there.
        """
        value = self._value(name, default)
        # By its exact type: bool is an int in Python, but true is no quantity.
        if type(value) is int and lowest <= value <= highest:
            return value
        return self._wrong(name, f"must be an integer from {lowest} to {highest}", lowest)

    def check(self) -> None:
        """Refuse the body if a field is wrong, or if it has one that was not read.

        Raises:
            Problem: 422 with `errors`.
        """
        known = ", ".join(sorted(self._known))
        unknown = [name for name in self._values if name not in self._known]
        for name in unknown[:_MOST_UNKNOWN]:
            self._refuse(name[:MOST_QUOTED], f"is no field of this call, which takes {known}", "")
        if self._errors:
            names = ", ".join(error["field"] for error in self._errors)
            raise Problem(422, f"These fields cannot be used: {names}.", errors=self._errors)

    def _value(self, name: str, default: Any = None) -> Any:
        self._known.add(name)
        return self._values.get(name, default)

    def _wrong(self, name: str, rule: str, instead: _T) -> _T:
        given = json.dumps(self._values[name]) if name in self._values else "missing"
        if len(given) > MOST_QUOTED:
            given = given[:MOST_QUOTED] + "…"
        return self._refuse(name, f"{rule}; it is {given}", instead)

    def _refuse(self, name: str, detail: str, instead: _T) -> _T:
        self._errors.append({"field": name, "detail": detail})
        return instead
