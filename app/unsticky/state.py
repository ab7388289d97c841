"""What all sessions of an application share: settings, key ring, store, counters, signals."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Final
from weakref import ref

from flask import Flask

from .adoption import Adoption
from .config import Config, parse_secrets
from .cookie import KeyRing
from .cookie_attributes import SETTINGS as COOKIE_SETTINGS
from .cookie_attributes import CookieAttributes
from .errors import ConfigurationError, OutcomeUnknown, SessionError
from .limits import Lifetimes
from .signals import Announcer
from .stores.base import Store

_log = logging.getLogger("unsticky")

_READ_ONCE: Final = ("UNSTICKY_", "SESSION_REDIS", "SESSION_KEY_PREFIX")
"""The prefixes of the settings that are read only once, at the start."""


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
    retries: int = 0
    revivals_prevented: int = 0
    unknown_ids: int = 0
    quarantined: int = 0
    store_errors: int = 0
    store_timeouts: int = 0
    store_refusals: int = 0
    store_outcomes_unknown: int = 0
    store_seconds: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """Return all counters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


_MOST_CONFLICTING: Final = 200
"""More pairs of view and field would be names that visitors make up."""

counting: Final[list[ref[ExtensionState]]] = []
"""Those of this process. What exports their counters looks for them here."""


class ExtensionState:
    """See the module.

    Flask's own settings may change while the application runs, so they are read each time. What was
    made of them is kept until they change. The library's own settings are read once.

    Attributes:
        app: the application.
        config: the library's own settings.
        store: where sessions are kept. A test may replace it before the first request.
        counters: what this process has done.
        conflicts: how many of `counters.conflicts` were on which field of which view.
        announce: sends signals, and writes the audit log.
        adoption: adopts sessions of the library used before; None if there are none to adopt.
    """

    def __init__(
        self,
        app: Flask,
        config: Config,
        store: Store,
        announce: Announcer,
        adoption: Adoption | None = None,
    ) -> None:
        self.app = app
        self.config = config
        self.store = store
        self.counters = Counters()
        self.conflicts: dict[tuple[str, str], int] = {}
        counting.append(ref(self, counting.remove))
        self.announce = announce
        self.adoption = adoption
        self._read_once = self._settings_read_once()
        self._down = False
        # Each with the settings it was made of, in one attribute, so that a thread sees both.
        self._ring: tuple[object, KeyRing] | None = None
        self._lifetimes: tuple[object, Lifetimes] | None = None
        self._cookie: tuple[object, CookieAttributes] | None = None

    @property
    def lacks(self) -> frozenset[str]:
        """What the store cannot do; see `Store`."""
        return frozenset(getattr(self.store, "lacks", ()))

    def need_users(self, what: str) -> None:
        """Refuse what needs the sessions of users, if the store cannot keep them.

        Raises:
            ConfigurationError: it cannot.
        """
        if "users" in self.lacks:
            raise ConfigurationError(
                f"{what} needs the sessions of users, and the store {self.store.description} lacks "
                "'users': use another store, or keep who is logged in in the session"
            )

    @property
    def ring(self) -> KeyRing:
        """The keys that sign cookies, from SECRET_KEY and SECRET_KEY_FALLBACKS as they are now."""
        app = self.app
        fallbacks = app.config.get("SECRET_KEY_FALLBACKS")
        if isinstance(fallbacks, list):
            fallbacks = tuple(fallbacks)
        seen = (app.secret_key, fallbacks)
        kept = self._ring
        if kept is None or kept[0] != seen:
            kept = self._ring = (seen, KeyRing(parse_secrets(*seen), *self.config.peppers))
        return kept[1]

    @property
    def lifetimes(self) -> Lifetimes:
        """How long sessions live, with PERMANENT_SESSION_LIFETIME as it is now."""
        try:
            seen = self.app.permanent_session_lifetime
        except (TypeError, ValueError, OverflowError):
            # The value is no time. `lifetimes` refuses it with the name of the setting.
            seen = self.app.config["PERMANENT_SESSION_LIFETIME"]
        kept = self._lifetimes
        if kept is None or kept[0] != seen:
            kept = self._lifetimes = (seen, self.config.lifetimes(seen))
        return kept[1]

    @property
    def cookie(self) -> CookieAttributes:
        """How the cookie is sent, with Flask's settings as they are now."""
        config = self.app.config
        seen = tuple([config.get(name) for name in COOKIE_SETTINGS])
        kept = self._cookie
        if kept is None or kept[0] != seen:
            kept = self._cookie = (seen, CookieAttributes.parse(config))
        return kept[1]

    def check_settings(self) -> None:
        """Refuse settings that were changed after the library had read them.

        Raises:
            ConfigurationError: a setting was changed; the message names it.
        """
        before, now = self._read_once, self._settings_read_once()
        for name in before.keys() | now.keys():
            if before.get(name) is not now.get(name) and before.get(name) != now.get(name):
                raise ConfigurationError(
                    f"{name} was changed after Unsticky(app) had read it, which has no effect: "
                    "set it before Unsticky(app)"
                )

    def conflicted(self, view: str, fields: Iterable[str]) -> None:
        """Count a conflict of a view (its endpoint) for each of these fields."""
        self.counters.conflicts += 1
        for field in fields:
            key = (view, field)
            if key not in self.conflicts and len(self.conflicts) >= _MOST_CONFLICTING:
                key = ("other", "other")
            self.conflicts[key] = self.conflicts.get(key, 0) + 1

    def failed(self, error: SessionError) -> None:
        """Note that the store did not serve a request; the first of several failures is logged."""
        counters = self.counters
        counters.store_errors += 1
        # One that may be repeated is raised from the other.
        cause = error.cause or getattr(error.__cause__, "cause", "")
        counters.store_timeouts += cause == "timeout"
        counters.store_refusals += cause == "breaker"
        counters.store_outcomes_unknown += isinstance(error, OutcomeUnknown)
        if not self._down:
            self._down = True
            _log.error("the session store fails: %s", error)

    def answered(self) -> None:
        """Note that the store served a request."""
        if self._down:
            self._down = False
            _log.warning("the session store answers again")

    def _settings_read_once(self) -> dict[str, Any]:
        return {
            name: dict(value) if isinstance(value, dict) else value
            for name, value in self.app.config.items()
            if name.startswith(_READ_ONCE)
        }
