"""Typed configuration, read from Flask's and validated, so that it cannot be wrong afterwards."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any, Final

from .errors import ConfigurationError
from .limits import MAX_DEADLINE, OPERATION_LIFETIME_MS, TOMBSTONE_LIFETIME_MS, Lifetimes
from .merge import BUILT_IN, NAMED, Merge
from .stores.base import Wait

_MAX_SECONDS: Final = 100 * 366 * 86_400  # the stores keep 13 digits of a time in ms


class OnConflict(Enum):
    """What happens on a conflict that no merge rule settles."""

    CONFLICT = "conflict"
    OVERWRITE = "overwrite"


@dataclass(frozen=True, slots=True)
class Config:
    """The library's own settings, read once. Flask's own are read each time, as Flask does.

    `operation_lifetime` is how long the result of a write is kept, in ms: twice as long as its
    request may spend in the store, so that each resend finds it.
    """

    peppers: tuple[bytes | None, ...] = field(repr=False)
    store: str = field(repr=False)
    store_from: str
    prefix: str
    absolute: int | None
    unused: int | None
    deadline: float
    wait: Wait | None
    operation_lifetime: int
    on_conflict: OnConflict
    merges: Mapping[str, Merge]
    max_bytes: int
    max_sessions_per_user: int
    request_id_header: str | None
    clear_site_data: bool
    retry: bool

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> Config:
        """Read Flask's configuration.

        Raises:
            ConfigurationError: a value is missing, malformed or contradicts another.
        """
        deadline = _deadline(config)
        logout = str(config.get("UNSTICKY_LOGOUT") or "unbind")
        if logout not in {"unbind", "destroy"}:
            raise ConfigurationError.of("UNSTICKY_LOGOUT", logout, "use 'unbind' or 'destroy'")
        on_conflict = str(config.get("UNSTICKY_CONFLICT") or OnConflict.CONFLICT.value)
        if on_conflict not in {choice.value for choice in OnConflict}:
            raise ConfigurationError.of(
                "UNSTICKY_CONFLICT", on_conflict, "use 'conflict' or 'overwrite'"
            )
        prefix = config.get("SESSION_KEY_PREFIX") or "unsticky:"
        if (
            not isinstance(prefix, str)
            or not prefix.isprintable()
            or any(c in prefix for c in "{}")
        ):
            raise ConfigurationError.of(
                "SESSION_KEY_PREFIX",
                prefix,
                "braces would break the layout of Redis Cluster; use plain text",
            )
        header = config.get("UNSTICKY_REQUEST_ID_HEADER")
        store, store_from = _store(config)
        return cls(
            peppers=_peppers(config),
            store=store,
            store_from=store_from,
            prefix=prefix,
            absolute=_milliseconds(config, "UNSTICKY_ABSOLUTE_LIFETIME", timedelta(days=90)),
            unused=_milliseconds(config, "UNSTICKY_UNUSED_LIFETIME", timedelta(minutes=65)),
            deadline=deadline,
            wait=_wait(config, deadline),
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
        """Return the limits of sessions, with Flask's `PERMANENT_SESSION_LIFETIME` (`idle`).

        Raises:
            ConfigurationError: `idle` is no time.
        """
        limit = milliseconds("PERMANENT_SESSION_LIFETIME", idle)
        if self.absolute is not None:
            limit = min(limit, self.absolute)
        unused = limit if self.unused is None else min(self.unused, limit)
        return Lifetimes(idle=limit, absolute=self.absolute, unused=unused)


def parse_secrets(key: object, fallbacks: Any) -> tuple[bytes, ...]:
    """Return the secrets that sign cookies, the current one first.

    Raises:
        ConfigurationError: one is empty, or neither str nor bytes.
    """
    fallbacks = fallbacks or ()
    if isinstance(fallbacks, (str, bytes)):
        raise ConfigurationError(
            "SECRET_KEY_FALLBACKS is a single string: use a list of earlier keys"
        )
    if not all(fallbacks):
        raise ConfigurationError(
            "SECRET_KEY_FALLBACKS holds an empty key, with which anyone could sign: remove it"
        )
    earlier = (_bytes("SECRET_KEY_FALLBACKS", secret) for secret in fallbacks)
    return (_bytes("SECRET_KEY", key), *earlier)


def _bytes(key: str, value: object) -> bytes:
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, bytes):
        raise ConfigurationError(f"{key} is a {type(value).__qualname__}: use str or bytes")
    return value


def _peppers(config: Mapping[str, Any]) -> tuple[bytes | None, ...]:
    """Return the current pepper and the earlier ones; None stands for no pepper."""
    earlier = config.get("UNSTICKY_PEPPER_FALLBACKS") or ()
    if isinstance(earlier, (str, bytes)):
        raise ConfigurationError(
            "UNSTICKY_PEPPER_FALLBACKS is a single string: use a list of earlier peppers"
        )
    current = _pepper("UNSTICKY_PEPPER", config.get("UNSTICKY_PEPPER"))
    return (current, *(_pepper("UNSTICKY_PEPPER_FALLBACKS", pepper) for pepper in earlier))


def _pepper(key: str, value: object) -> bytes | None:
    if not value:
        return None
    pepper = _bytes(key, value)
    if len(pepper) < 16:
        raise ConfigurationError(
            f"{key}: a pepper of {len(pepper)} bytes is too short: use at least 16 random bytes"
        )
    return pepper


def _store(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return where sessions are kept, and the setting that says so."""
    settings = (
        ("UNSTICKY_STORE in the environment", os.environ.get("UNSTICKY_STORE")),
        ("UNSTICKY_STORE", config.get("UNSTICKY_STORE")),
        ("SESSION_REDIS", None if config.get("SESSION_REDIS") is None else "client"),
        ("REDIS_URL", config.get("REDIS_URL")),
        ("REDIS_URL in the environment", os.environ.get("REDIS_URL")),
    )
    for setting, value in settings:
        if value and not (value == "auto" and setting.startswith("UNSTICKY_STORE")):
            return str(value), setting
    return "memory://", "neither UNSTICKY_STORE nor REDIS_URL is set"


def _deadline(config: Mapping[str, Any]) -> float:
    deadline = _number(config, "UNSTICKY_DEADLINE", 1.0)
    if deadline > MAX_DEADLINE:
        raise ConfigurationError.of(
            "UNSTICKY_DEADLINE",
            deadline,
            f"use at most {MAX_DEADLINE} seconds: an ended session is remembered for "
            f"{TOMBSTONE_LIFETIME_MS // 1000} seconds, and no request may outlast that",
        )
    return deadline


def _wait(config: Mapping[str, Any], deadline: float) -> Wait | None:
    value = config.get("UNSTICKY_WAIT")
    if value is None or value == "":
        return None
    words = value.split() if isinstance(value, str) else []
    numbers = [int(word) for word in words if word.isascii() and word.isdigit()]
    if len(words) != 2 or len(numbers) != 2 or not numbers[0]:
        raise ConfigurationError.of(
            "UNSTICKY_WAIT", value, "use a number of replicas and of milliseconds, such as '1 100'"
        )
    if not 0 < numbers[1] <= deadline * 500:
        raise ConfigurationError.of(
            "UNSTICKY_WAIT",
            value,
            f"wait at least a millisecond, and at most half of UNSTICKY_DEADLINE ({deadline:g} s)",
        )
    return Wait(*numbers)


def _milliseconds(config: Mapping[str, Any], key: str, default: timedelta) -> int | None:
    value = config.get(key, default)
    return None if value is None else milliseconds(key, value)


def milliseconds(key: str, value: object) -> int:
    """Return a time limit in ms, from seconds or a timedelta; `key` names the setting in errors.

    Raises:
        ConfigurationError: `value` is neither, or out of range.
    """
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = value
    else:
        raise ConfigurationError.of(key, value, "use a number of seconds or a timedelta")
    if not 1 <= seconds <= _MAX_SECONDS:
        raise ConfigurationError.of(
            key, value, "use at least one second and at most a hundred years"
        )
    return int(seconds * 1000)


def _number(config: Mapping[str, Any], key: str, default: float) -> float:
    value = config.get(key, default)
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 < value < float("inf")
    ):
        raise ConfigurationError.of(key, value, "use a number above 0")
    return float(value)


def _count(config: Mapping[str, Any], key: str, default: int) -> int:
    value = config.get(key, default)
    if type(value) is not int or value < 1:
        raise ConfigurationError.of(key, value, "use a whole number, 1 or more")
    return value


def _merges(config: Mapping[str, Any]) -> Mapping[str, Merge]:
    merges = dict(BUILT_IN)
    configured = config.get("UNSTICKY_MERGE") or {}
    if not isinstance(configured, Mapping):
        raise ConfigurationError.of(
            "UNSTICKY_MERGE", configured, "use a dict from field names to rules"
        )
    for name, rule in configured.items():
        if callable(rule):
            merges[name] = rule
        elif rule in NAMED:
            merges[name] = NAMED[rule]
        else:
            raise ConfigurationError.of(
                f"UNSTICKY_MERGE[{name!r}]", rule, f"use a callable or one of {', '.join(NAMED)}"
            )
    return merges
