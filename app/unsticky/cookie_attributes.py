"""How the session cookie is sent: its name and attributes, from Flask's settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from .errors import ConfigurationError

SETTINGS: Final = (
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


@dataclass(frozen=True, slots=True)
class CookieAttributes:
    """How the cookie is sent: the same when it is set, sent again and deleted."""

    name: str
    path: str
    domain: str | None
    secure: bool
    httponly: bool
    samesite: Literal["Lax", "Strict", "None"]
    partitioned: bool

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> CookieAttributes:
        """Return how the cookie is sent, from `SETTINGS`.

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
            raise ConfigurationError.of(
                "SESSION_COOKIE_NAME",
                name,
                "use 1 to 256 letters, digits and dashes; other characters can break the header",
            )
        if samesite not in {"Lax", "Strict", "None"}:
            raise ConfigurationError.of(
                "SESSION_COOKIE_SAMESITE", samesite, "use 'Lax', 'Strict' or 'None'"
            )
        if (samesite == "None" or partitioned) and not secure:
            raise ConfigurationError.of(
                "SESSION_COOKIE_SECURE",
                secure,
                "set it to True: browsers refuse SameSite=None and Partitioned without Secure",
            )
        # Browsers compare the prefixes without regard to case (RFC 6265bis 4.1.3).
        if name.lower().startswith("__host-") and (not secure or domain or path != "/"):
            raise ConfigurationError.of(
                "SESSION_COOKIE_NAME",
                name,
                "__Host- needs SESSION_COOKIE_SECURE, SESSION_COOKIE_PATH='/' and "
                "no SESSION_COOKIE_DOMAIN",
            )
        if name.lower().startswith("__secure-") and not secure:
            raise ConfigurationError.of(
                "SESSION_COOKIE_NAME", name, "__Secure- needs SESSION_COOKIE_SECURE"
            )
        return cls(
            name=name,
            path=path,
            domain=domain,
            secure=secure,
            httponly=bool(config.get("SESSION_COOKIE_HTTPONLY", True)),
            samesite=samesite,
            partitioned=partitioned,
        )
