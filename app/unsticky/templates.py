"""What a template sees as `session`: the application's keys before the library's attributes."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from flask import Flask, has_request_context
from flask import session as current

from .session import Session


def show_keys_first(app: Flask) -> None:
    """Let `{{ session.user }}` be the key `user`, as it always was, where there is one."""

    @app.context_processor
    def unsticky_session() -> dict[str, Any]:
        held = current._get_current_object() if has_request_context() else None  # type: ignore[attr-defined]  # noqa: SLF001 (werkzeug's documented way to the object behind a proxy)
        return {"session": TemplateSession(held)} if isinstance(held, Session) else {}


class TemplateSession(MutableMapping[str, Any]):
    """A session whose keys come before its attributes, but after those that every dict has.

    Jinja looks for an attribute first. Flask's own sessions have few besides a dict's; ours have
    more, and hide no key of an application that was written before.
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
            raise AttributeError(name)  # a copy that is being made
        if not hasattr(dict, name) and not name.startswith("_") and name in self._held:
            return self._held[name]
        return getattr(self._held, name)

    def __getitem__(self, name: str) -> Any:
        """Return a key's value."""
        return self._held[name]

    def __setitem__(self, name: str, value: Any) -> None:
        """Set a key."""
        self._held[name] = value

    def __delitem__(self, name: str) -> None:
        """Delete a key."""
        del self._held[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether a key exists."""
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._held)

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._held)

    def __bool__(self) -> bool:
        """Tell whether there is anything in the session."""
        return bool(self._held)

    def __repr__(self) -> str:
        """Name the session by its handle."""
        return repr(self._held)
