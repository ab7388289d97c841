"""The cookie by which the page knows the requests of one browser.

It is not the session's: the picture goes on through login and logout, which change the session's
id, and looking at it must not create a session. Only `/status` sets it.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response

from shop.context import client_of
from shop.store import digest

_LIFETIME_SECONDS = 600


@dataclass(frozen=True)
class TrackingCookie:
    """The cookie as this shop sets it; `secure` if browsers reach the shop by TLS."""

    secure: bool

    @property
    def _name(self) -> str:
        return "__Host-trail" if self.secure else "trail"

    def browser(self, environ: Mapping[str, Any]) -> str | None:
        """Return the name of a browser, by its WSGI environment; None without the cookie.

        It is a digest, so that the store does not hold the cookie's value. The client's
        address and program are part of it. Another host of the domain can plant its own cookie in
        this browser over plain HTTP, but does not see this browser's requests.
        """
        value = self._value(environ)
        if value is None:
            return None
        client = client_of(environ.get("REMOTE_ADDR") or "")
        return digest(value, client, environ.get("HTTP_USER_AGENT", ""))

    def set(self, response: Response, environ: Mapping[str, Any]) -> None:
        """Give the browser the cookie, or keep it for another ten minutes."""
        response.set_cookie(
            self._name,
            self._value(environ) or secrets.token_hex(16),
            max_age=_LIFETIME_SECONDS,
            secure=self.secure,
            httponly=True,
            samesite="Lax",
        )

    def _value(self, environ: Mapping[str, Any]) -> str | None:
        pattern = rf"(?:^|;\s*){self._name}=([0-9a-f]{{32}})(?:;|$)"
        found = re.search(pattern, environ.get("HTTP_COOKIE", ""))
        return found[1] if found else None
