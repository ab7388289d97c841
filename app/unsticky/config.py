"""Typed configuration, read once from Flask's and validated: after that it cannot be wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, Final, Literal

from .errors import ConfigurationError
from .merge import BUILT_IN, NAMED, Merge

TOMBSTONE_LIFETIME_MS = 60_000
"""How long an ended session is remembered as ended; longer than any request may run."""

OPERATION_LIFETIME_MS = 10_000
"""How long the result of a write is kept, so that the same write sent again is applied once."""

ONCE_LIFETIME_MS = 24 * 3600 * 1000
"""The same for the writes of a request that said `session.once(name)`: as long as clients of an
Idempotency-Key can be expected to try again."""

MAX_FIELDS = 1024
_MAX_SECONDS = 100 * 366 * 86_400  # its end must fit the 13 digits that the stores keep of a time
MERGE_ROUNDS = 5
RERUNS = 3
"""How often a GET or HEAD that conflicts is run again."""

MAX_DEADLINE: Final = TOMBSTONE_LIFETIME_MS // 2000
"""The longest that one request may spend in the store, in seconds."""

COOKIE_SETTINGS: Final = (
    "SESSION_COOKIE_NAME",
    "SESSION_COOKIE_DOMAIN",
    "SESSION_COOKIE_PATH",
    "APPLICATION_ROOT",
    "SESSION_COOKIE_SECURE",
    "SESSION_COOKIE_HTTPONLY",
    "SESSION_COOKIE_SAMESITE",
    "SESSION_COOKIE_PARTITIONED",
)

_COOKIE_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
"""A token of RFC 6265, short enough that name and value stay within what browsers keep (4096)."""


class OnConflict(Enum):
    """What a true conflict, one that no merge rule settles, does."""

    CONFLICT = "conflict"
    OVERWRITE = "overwrite"


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long sessions live, in milliseconds of the store's clock.

    Attributes:
        idle: since the session was last seen.
        absolute: since it was created or bound, however busy; None for no such limit.
        unused: for a session seen only once, such as a bot's.
    """

    idle: int
    absolute: int | None
    unused: int


@dataclass(frozen=True, slots=True)
class CookieAttributes:
    """How the cookie is sent; the same on set, refresh and delete."""

    name: str
    path: str
    domain: str | None
    secure: bool
    httponly: bool
    samesite: Literal["Lax", "Strict", "None"]
    partitioned: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """The library's own settings, parsed once. Those of Flask are read when Flask reads them.

    `operation_lifetime` is how long the result of a write is kept, in ms: twice as long as its
    request may take, so that each resend finds it.
    """

    pepper: bytes | None = field(repr=False)
    store: str = field(repr=False)
    store_from: str
    prefix: str
    absolute: int | None
    unused: int | None
    deadline: float
    operation_lifetime: int
    on_conflict: OnConflict
    merges: Mapping[str, Merge]
    max_bytes: int
    max_sessions_per_user: int
    request_id_header: str | None
    clear_site_data: bool
    retry: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Policy:
        """Read Flask's configuration.

        Raises:
            ConfigurationError: a value is missing, malformed or contradicts another.
        """
        deadline = _deadline(config)
        logout = str(config.get("UNSTICKY_LOGOUT") or "unbind")
        if logout not in {"unbind", "destroy"}:
            raise _wrong("UNSTICKY_LOGOUT", logout, "use 'unbind' or 'destroy'")
        on_conflict = str(config.get("UNSTICKY_CONFLICT") or OnConflict.CONFLICT.value)
        if on_conflict not in {choice.value for choice in OnConflict}:
            raise _wrong("UNSTICKY_CONFLICT", on_conflict, "use 'conflict' or 'overwrite'")
        prefix = config.get("SESSION_KEY_PREFIX") or "unsticky:"
        if (
            not isinstance(prefix, str)
            or "{" in prefix
            or "}" in prefix
            or not prefix.isprintable()
        ):
            raise _wrong(
                "SESSION_KEY_PREFIX",
                prefix,
                "braces would break the layout of Redis Cluster; use plain text",
            )
        header = config.get("UNSTICKY_REQUEST_ID_HEADER")
        store, store_from = _store(config)
        return cls(
            pepper=_pepper(config),
            store=store,
            store_from=store_from,
            prefix=prefix,
            absolute=_milliseconds(config, "UNSTICKY_ABSOLUTE_LIFETIME", timedelta(days=90)),
            unused=_milliseconds(config, "UNSTICKY_UNUSED_LIFETIME", timedelta(minutes=65)),
            deadline=deadline,
            operation_lifetime=max(OPERATION_LIFETIME_MS, int(deadline * 2000)),
            on_conflict=OnConflict(on_conflict),
            merges=_merges(config),
            max_bytes=_count(config, "UNSTICKY_MAX_BYTES", 65_536),
            max_sessions_per_user=_count(config, "UNSTICKY_MAX_SESSIONS_PER_USER", 100),
            request_id_header=str(header) if header else None,
            clear_site_data=bool(config.get("UNSTICKY_CLEAR_SITE_DATA", False)),
            retry=bool(config.get("UNSTICKY_RETRY", True)),
        )

    def lifetimes(self, idle: object) -> Lifetimes:
        """Return the limits where Flask's `PERMANENT_SESSION_LIFETIME` is `idle`.

        Raises:
            ConfigurationError: it is no time.
        """
        limit = milliseconds("PERMANENT_SESSION_LIFETIME", idle)
        if self.absolute is not None:
            limit = min(limit, self.absolute)
        unused = limit if self.unused is None else min(self.unused, limit)
        return Lifetimes(idle=limit, absolute=self.absolute, unused=unused)


def _wrong(key: str, value: object, cure: str) -> ConfigurationError:
    return ConfigurationError(f"{key} is {value!r}: {cure}")


def parse_secrets(key: object, fallbacks: Any) -> tuple[bytes, ...]:
    """Return the keys that sign cookies, the current one first.

    Raises:
        ConfigurationError: one is empty, or neither str nor bytes.
    """
    fallbacks = fallbacks or ()
    if isinstance(fallbacks, (str, bytes)):
        message = "SECRET_KEY_FALLBACKS is a single string: it is a list of earlier keys"
        raise ConfigurationError(message)
    if not all(fallbacks):
        message = "SECRET_KEY_FALLBACKS holds an empty key, with which anyone could sign"
        raise ConfigurationError(message)
    earlier = (_octets("SECRET_KEY_FALLBACKS", secret) for secret in fallbacks)
    return (_octets("SECRET_KEY", key), *earlier)


def _octets(key: str, value: object) -> bytes:
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, bytes):
        message = f"{key} is a {type(value).__qualname__}: use str or bytes"
        raise ConfigurationError(message)
    return value


def _pepper(config: Mapping[str, Any]) -> bytes | None:
    value = config.get("UNSTICKY_PEPPER")
    if not value:
        return None
    pepper = _octets("UNSTICKY_PEPPER", value)
    if len(pepper) < 16:
        message = f"UNSTICKY_PEPPER has {len(pepper)} bytes: use at least 16 random ones"
        raise ConfigurationError(message)
    return pepper


def _store(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return where sessions are kept, and which setting says so."""
    places = (
        ("UNSTICKY_STORE in the environment", os.environ.get("UNSTICKY_STORE")),
        ("UNSTICKY_STORE", config.get("UNSTICKY_STORE")),
    )
    for place, value in places:
        if value and value != "auto":
            return str(value), place
    if config.get("SESSION_REDIS") is not None:
        return "client", "SESSION_REDIS"
    places = (
        ("REDIS_URL", config.get("REDIS_URL")),
        ("REDIS_URL in the environment", os.environ.get("REDIS_URL")),
    )
    for place, value in places:
        if value:
            return str(value), place
    return "memory://", "neither UNSTICKY_STORE nor REDIS_URL is set"


def _deadline(config: Mapping[str, Any]) -> float:
    deadline = _number(config, "UNSTICKY_DEADLINE", 1.0)
    if deadline > MAX_DEADLINE:
        raise _wrong(
            "UNSTICKY_DEADLINE",
            deadline,
            f"use at most {MAX_DEADLINE} seconds: an ended session is remembered for "
            f"{TOMBSTONE_LIFETIME_MS // 1000}, and no request may outlast that",
        )
    return deadline


def _milliseconds(config: Mapping[str, Any], key: str, default: timedelta) -> int | None:
    value = config.get(key, default)
    return None if value is None else milliseconds(key, value)


def milliseconds(key: str, value: object) -> int:
    """Return a time limit in ms.

    Args:
        key: what to call it in errors.
        value: seconds, or a timedelta.

    Raises:
        ConfigurationError: it is neither, or out of range.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value
    else:
        raise _wrong(key, value, "use a number of seconds or a timedelta")
    if not 1 <= seconds <= _MAX_SECONDS:
        raise _wrong(key, value, "it must be at least one second and at most a hundred years")
    return int(seconds * 1000)


def _number(config: Mapping[str, Any], key: str, default: float) -> float:
    value = config.get(key, default)
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 < value < float("inf")
    ):
        raise _wrong(key, value, "use a number above 0")
    return float(value)


def _count(config: Mapping[str, Any], key: str, default: int) -> int:
    value = config.get(key, default)
    if type(value) is not int or value < 1:
        raise _wrong(key, value, "use a whole number, 1 or more")
    return value


def _merges(config: Mapping[str, Any]) -> Mapping[str, Merge]:
    merges = dict(BUILT_IN)
    configured = config.get("UNSTICKY_MERGE") or {}
    if not isinstance(configured, Mapping):
        raise _wrong("UNSTICKY_MERGE", configured, "use a dict of field name and rule")
    for name, rule in configured.items():
        if callable(rule):
            merges[name] = rule
        elif rule in NAMED:
            merges[name] = NAMED[rule]
        else:
            raise _wrong(
                f"UNSTICKY_MERGE[{name!r}]", rule, f"use a callable or one of {', '.join(NAMED)}"
            )
    return merges


def parse_cookie(config: Mapping[str, Any]) -> CookieAttributes:
    """Return how the cookie is sent, from the settings in COOKIE_SETTINGS.

    Raises:
        ConfigurationError: a value is malformed or contradicts another.
    """
    name = str(config.get("SESSION_COOKIE_NAME") or "session")
    secure = bool(config.get("SESSION_COOKIE_SECURE", False))
    domain = config.get("SESSION_COOKIE_DOMAIN") or None
    path = str(config.get("SESSION_COOKIE_PATH") or config.get("APPLICATION_ROOT") or "/")
    samesite: Any = str(config.get("SESSION_COOKIE_SAMESITE") or "Lax").title()
    partitioned = bool(config.get("SESSION_COOKIE_PARTITIONED", False))
    if not _COOKIE_NAME.fullmatch(name):
        raise _wrong(
            "SESSION_COOKIE_NAME",
            name,
            "use 1 to 256 letters, digits and dashes; others drop the cookie or split the header",
        )
    if samesite not in {"Lax", "Strict", "None"}:
        raise _wrong("SESSION_COOKIE_SAMESITE", samesite, "use 'Lax', 'Strict' or 'None'")
    if (samesite == "None" or partitioned) and not secure:
        raise _wrong(
            "SESSION_COOKIE_SECURE",
            secure,
            "SameSite=None and Partitioned cookies are refused without Secure",
        )
    # Browsers compare the prefixes without regard to case (RFC 6265bis 4.1.3).
    if name.lower().startswith("__host-") and (not secure or domain or path != "/"):
        raise _wrong(
            "SESSION_COOKIE_NAME",
            name,
            "__Host- needs SESSION_COOKIE_SECURE, SESSION_COOKIE_PATH='/' and "
            "no SESSION_COOKIE_DOMAIN",
        )
    if name.lower().startswith("__secure-") and not secure:
        raise _wrong("SESSION_COOKIE_NAME", name, "__Secure- needs SESSION_COOKIE_SECURE")
    return CookieAttributes(
        name=name,
        path=path,
        domain=domain,
        secure=secure,
        httponly=bool(config.get("SESSION_COOKIE_HTTPONLY", True)),
        samesite=samesite,
        partitioned=partitioned,
    )
