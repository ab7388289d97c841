"""Checking the fields of a body: all that is wrong is told at once, in one 422."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from shop.problems import Problem

_MOST_SHOWN = 40
_T = TypeVar("_T")


class Fields:
    """The fields of one body.

    Ask for each field, then call check(); what the getters return means
    something only if check() passed.

    Args:
        values: The fields by name.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values
        self._errors: list[dict[str, str]] = []

    def text(self, name: str) -> str:
        """Return a string field."""
        value = self._values.get(name)
        if isinstance(value, str):
            return value
        return self._wrong(name, "must be a string", "")

    def secret(self, name: str, lengths: range) -> str:
        """Return a string field that no answer may show.

        Args:
            name: The field.
            lengths: How many characters it may have.
        """
        value = self._values.get(name)
        if not isinstance(value, str):
            return self._refuse(name, "must be a string", "")
        if len(value) not in lengths:
            rule = f"must have {lengths[0]} to {lengths[-1]} characters; it has {len(value)}"
            return self._refuse(name, rule, "")
        # JSON can write half of a surrogate pair (RFC 8259, 8.2); no hash takes it.
        if any("\ud800" <= character <= "\udfff" for character in value):
            return self._refuse(name, "must be Unicode text, without lone surrogates", "")
        return value

    def integer(self, name: str, lowest: int, highest: int, default: int | None = None) -> int:
        """Return an integer field; never a bool, a float or a string.

        Args:
            name: The field.
            lowest: The least it may be.
            highest: The most it may be.
            default: Its value where it is missing; without one it must be there.
        """
        value = self._values.get(name, default)
        # By its very type: bool is an int to Python, but true is no quantity.
        if type(value) is int and lowest <= value <= highest:
            return value
        return self._wrong(name, f"must be an integer from {lowest} to {highest}", lowest)

    def check(self) -> None:
        """Refuse the body if any field asked for is wrong.

        Raises:
            Problem: 422 with ``errors``.
        """
        if self._errors:
            names = ", ".join(error["field"] for error in self._errors)
            raise Problem(422, f"These fields cannot be used: {names}.", errors=self._errors)

    def _wrong(self, name: str, rule: str, instead: _T) -> _T:
        given = json.dumps(self._values[name]) if name in self._values else "missing"
        if len(given) > _MOST_SHOWN:
            given = given[:_MOST_SHOWN] + "…"
        return self._refuse(name, f"{rule}; it is {given}", instead)

    def _refuse(self, name: str, detail: str, instead: _T) -> _T:
        self._errors.append({"field": name, "detail": detail})
        return instead
