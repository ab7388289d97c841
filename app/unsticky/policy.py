"""Typed configuration, read once from Flask's and validated: after that it cannot be wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
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

    @property
    def step(self) -> int:
        """How stale `seen` may get before a request writes it again."""
        return self.idle // 20


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
    """The library's settings, parsed. `from_config` explains where each comes from."""

    secrets: tuple[bytes, ...]
    pepper: bytes | None
    store: str
    prefix: str
    lifetimes: Lifetimes
    cookie: CookieAttributes
    refresh_cookie: bool
    deadline: float
    on_conflict: OnConflict
    merges: Mapping[str, Merge]
    max_bytes: int
    max_sessions_per_user: int
    request_id_header: str | None
    clear_site_data: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Policy:
        """Read Flask's configuration.

        Raises:
            ConfigurationError: a value is missing, malformed or contradicts another.
        """
        lifetimes = _lifetimes(config)
        deadline = _number(config, "UNSTICKY_DEADLINE", 1.0)
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
        return cls(
            secrets=_secrets(config),
            pepper=_pepper(config),
            store=_store(config),
            prefix=prefix,
            lifetimes=lifetimes,
            cookie=_cookie(config),
            refresh_cookie=bool(config.get("SESSION_REFRESH_EACH_REQUEST", True)),
            deadline=deadline,
            on_conflict=OnConflict(on_conflict),
            merges=_merges(config),
            max_bytes=_count(config, "UNSTICKY_MAX_BYTES", 65_536),
            max_sessions_per_user=_count(config, "UNSTICKY_MAX_SESSIONS_PER_USER", 100),
            request_id_header=str(header) if header else None,
            clear_site_data=bool(config.get("UNSTICKY_CLEAR_SITE_DATA", False)),
        )


def _wrong(key: str, value: object, cure: str) -> ConfigurationError:
    return ConfigurationError(f"{key} is {value!r}: {cure}")


def _secrets(config: Mapping[str, Any]) -> tuple[bytes, ...]:
    key = config.get("SECRET_KEY")
    if not key:
        message = (
            "SECRET_KEY is not set: every worker needs the same one; "
            "make one with python -c 'import secrets; print(secrets.token_hex())'"
        )
        raise ConfigurationError(message)
    fallbacks = config.get("SECRET_KEY_FALLBACKS") or ()
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
    if len(pepper) < 16:  # noqa: PLR2004 (128 bits)
        message = f"UNSTICKY_PEPPER has {len(pepper)} bytes: use at least 16 random ones"
        raise ConfigurationError(message)
    return pepper


def _store(config: Mapping[str, Any]) -> str:
    value = str(config.get("UNSTICKY_STORE") or "auto")
    if value != "auto":
        return value
    if config.get("SESSION_REDIS") is not None:
        return "client"
    return str(config.get("REDIS_URL") or os.environ.get("REDIS_URL") or "memory://")


def _milliseconds(config: Mapping[str, Any], key: str, default: timedelta | None) -> int | None:
    value = config.get(key, default)
    if value is None:
        return None
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        raise _wrong(key, value, "use a number of seconds or a timedelta")
    if not 1 <= seconds <= _MAX_SECONDS:
        raise _wrong(key, value, "it must be at least one second and at most a hundred years")
    return int(seconds * 1000)


def _lifetimes(config: Mapping[str, Any]) -> Lifetimes:
    idle = _milliseconds(config, "PERMANENT_SESSION_LIFETIME", timedelta(days=31))
    if idle is None:
        raise _wrong(
            "PERMANENT_SESSION_LIFETIME", None, "it is the idle limit; use seconds or a timedelta"
        )
    absolute = _milliseconds(config, "UNSTICKY_ABSOLUTE_LIFETIME", timedelta(days=90))
    unused = _milliseconds(config, "UNSTICKY_UNUSED_LIFETIME", timedelta(minutes=10)) or idle
    if absolute is not None and absolute < idle:
        idle = absolute
    return Lifetimes(idle=idle, absolute=absolute, unused=min(unused, idle))


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
    for field, rule in configured.items():
        if callable(rule):
            merges[field] = rule
        elif rule in NAMED:
            merges[field] = NAMED[rule]
        else:
            raise _wrong(
                f"UNSTICKY_MERGE[{field!r}]", rule, f"use a callable or one of {', '.join(NAMED)}"
            )
    return merges


def _cookie(config: Mapping[str, Any]) -> CookieAttributes:
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
