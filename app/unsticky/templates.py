"""What a template sees as `session`: the application's keys come before its attributes."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from flask import Flask

from .session import Session, current_session


def show_keys_first(app: Flask) -> None:
    """Let `{{ session.user }}` be the key `user`, if there is one, as with Flask's session."""

    @app.context_processor
    def unsticky_session() -> dict[str, Any]:
        held = current_session()
        return {} if held is None else {"session": TemplateSession(held)}


class TemplateSession(MutableMapping[str, Any]):
    """A session whose keys come before its attributes, but after the attributes of a dict.

    Jinja looks for an attribute first. This session has more attributes than Flask's, and they must
    not hide the keys of an existing application.
    """

    __slots__ = ("_held",)

    def __init__(self, held: Session) -> None:
        object.__setattr__(self, "_held", held)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute of the session, such as `permanent`."""
        setattr(self._held, name, value)

    def __getattr__(self, name: str) -> Any:
        """Return a dict's method, a key's value, or an attribute of the session."""
        if name == "_held":
            raise AttributeError(name)  # `copy` asks before it is set
        if not hasattr(dict, name) and not name.startswith("_") and name in self._held:
            return self._held[name]
        return getattr(self._held, name)

    def __getitem__(self, name: str) -> Any:
        return self._held[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._held[name] = value

    def __delitem__(self, name: str) -> None:
        del self._held[name]

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __bool__(self) -> bool:
        return bool(self._held)

    def __repr__(self) -> str:
        return repr(self._held)
