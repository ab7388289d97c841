"""Whose record it is, and under which key it lies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Self


@dataclass(frozen=True)
class Owner:
    """A user, or a guest.

    Attributes:
        name: ``user:<name>`` or ``guest:<random id>``.
    """

    name: str

    @classmethod
    def user(cls, name: str) -> Self:
        """Return the user of that name."""
        return cls(f"user:{name}")

    @classmethod
    def guest(cls, id_: str) -> Self:
        """Return the guest whose session holds that random id."""
        return cls(f"guest:{id_}")

    def key(self, *parts: str) -> str:
        """Return the key of one of the owner's records, such as ``shop:{…}:cart``.

        All keys of one owner lie in one slot of a Cluster. The name is hashed, because what a user
        chose could hold braces, and because it need not be readable in a dump.
        """
        return ":".join((f"shop:{{{self._tag}}}", *parts))

    @cached_property
    def _tag(self) -> str:
        return sha256(b"shop owner\0" + self.name.encode()).hexdigest()[:32]
