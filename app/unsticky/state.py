"""What every session of an application shares: settings, key ring, store, counters, events."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from typing import Any, Final, Protocol

from flask import Flask

from .adoption import Adoption
from .config import (
    COOKIE_SETTINGS,
    CookieAttributes,
    Lifetimes,
    Policy,
    parse_cookie,
    parse_secrets,
)
from .cookie import KeyRing, Reference
from .errors import ConfigurationError, SessionError
from .stores.base import Store

_log = logging.getLogger("unsticky")

_OURS: Final = ("UNSTICKY_", "SESSION_REDIS", "SESSION_KEY_PREFIX")
"""What the settings begin with that are read once, at the start."""


@dataclass(slots=True)
class Counters:
    """What this process has done since it started, as plain numbers. Never an id, never a name."""

    reads: int = 0
    commits: int = 0
    operations: int = 0
    created: int = 0
    merges: int = 0
    conflicts: int = 0
    overwritten: int = 0
    reruns: int = 0
    revivals_prevented: int = 0
    unknown_ids: int = 0
    quarantined: int = 0
    store_errors: int = 0
    store_seconds: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """Return all counters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Emit(Protocol):
    """Tells the world of a session's life: signals and the audit log."""

    def __call__(
        self, event: str, reference: Reference | None, request_id: str, **detail: object
    ) -> None:
        """Announce `event` of the session at `reference`."""


class Backend:
    """See the module.

    Flask's own settings may change while the application runs, and are read each time; what was
    made of them is kept until they change. Ours are read once.

    Attributes:
        app: the application.
        policy: our settings.
        store: where sessions live. A test may replace it before the first request.
        counters: what this process has done.
        emit: tells of a session's life.
        adoption: takes over the sessions of the library used before, None where none is to be.
    """

    def __init__(
        self,
        app: Flask,
        policy: Policy,
        store: Store,
        emit: Emit,
        adoption: Adoption | None = None,
    ) -> None:
        self.app = app
        self.policy = policy
        self.store = store
        self.counters = Counters()
        self.emit = emit
        self.adoption = adoption
        self._ours = self._our_settings()
        self._down = False
        # Each with what it was made of, in one attribute, so that a thread sees both or neither.
        self._ring: tuple[object, KeyRing] | None = None
        self._lifetimes: tuple[object, Lifetimes] | None = None
        self._cookie: tuple[object, CookieAttributes] | None = None

    @property
    def ring(self) -> KeyRing:
        """What signs cookies, from SECRET_KEY and SECRET_KEY_FALLBACKS as they are now."""
        app = self.app
        fallbacks = app.config.get("SECRET_KEY_FALLBACKS")
        if isinstance(fallbacks, list):
            fallbacks = tuple(fallbacks)
        seen = (app.secret_key, fallbacks)
        kept = self._ring
        if kept is None or kept[0] != seen:
            kept = self._ring = (seen, KeyRing(parse_secrets(*seen), self.policy.pepper))
        return kept[1]

    @property
    def lifetimes(self) -> Lifetimes:
        """How long sessions live, with PERMANENT_SESSION_LIFETIME as it is now."""
        try:
            seen = self.app.permanent_session_lifetime
        except (TypeError, ValueError, OverflowError):
            # What is no time: the message should name the setting.
            seen = self.app.config["PERMANENT_SESSION_LIFETIME"]
        kept = self._lifetimes
        if kept is None or kept[0] != seen:
            kept = self._lifetimes = (seen, self.policy.lifetimes(seen))
        return kept[1]

    @property
    def cookie(self) -> CookieAttributes:
        """How the cookie is sent, with Flask's settings as they are now."""
        config = self.app.config
        seen = tuple([config.get(name) for name in COOKIE_SETTINGS])
        kept = self._cookie
        if kept is None or kept[0] != seen:
            kept = self._cookie = (seen, parse_cookie(config))
        return kept[1]

    def check_settings(self) -> None:
        """Refuse settings of ours that were changed after they were read.

        Raises:
            ConfigurationError: one was; the message names it.
        """
        now = self._our_settings()
        for name in self._ours.keys() | now.keys():
            if self._ours.get(name) is not now.get(name) and self._ours.get(name) != now.get(name):
                message = (
                    f"{name} was changed after Unsticky(app) had read it, without effect: "
                    "set it before"
                )
                raise ConfigurationError(message)

    def failed(self, error: SessionError) -> None:
        """Note that the store did not serve a request; the first failure of a row is logged."""
        self.counters.store_errors += 1
        if not self._down:
            self._down = True
            _log.error("the session store fails: %s", error)

    def answered(self) -> None:
        """Note that the store served a request."""
        if self._down:
            self._down = False
            _log.warning("the session store answers again")

    def _our_settings(self) -> dict[str, Any]:
        return {
            name: dict(value) if isinstance(value, dict) else value
            for name, value in self.app.config.items()
            if name.startswith(_OURS)
        }
