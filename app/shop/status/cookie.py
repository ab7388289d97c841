"""The cookie by which the page knows the requests of one browser.

It is not the session's: the picture goes on through login and logout, which change the session's
id, and looking at it must not create a session. Only `/status` sets it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from flask import Response
from werkzeug.http import dump_cookie

from shop.context import client_of
from shop.store import digest

_LIFETIME_SECONDS = 600


class TrackingCookie:
    """The cookie as this shop sets it.

    Args:
        secure: Whether browsers reach the shop by TLS.
    """

    def __init__(self, *, secure: bool) -> None:
        self._secure = secure
        self._name = "__Host-trail" if secure else "trail"
        self._pattern = re.compile(rf"(?:^|;\s*){self._name}=([0-9a-f]{{32}})(?:;|$)")

    def browser(self, environ: Mapping[str, Any]) -> str | None:
        """Return the name of a browser, by its WSGI environment; None without the cookie.

        It is a digest, so that the store does not hold the cookie's value. The client's
        address and program are part of it. Another host of the domain can plant its own cookie in
        this browser over plain HTTP, but does not see this browser's requests.
        """
        found = self._pattern.search(environ.get("HTTP_COOKIE", ""))
        if not found:
            return None
        client = client_of(environ.get("REMOTE_ADDR") or "")
        return digest(found[1], client, environ.get("HTTP_USER_AGENT", ""))

    def set(self, response: Response, environ: Mapping[str, Any]) -> None:
        """Give the browser the cookie, or keep it for another ten minutes."""
        found = self._pattern.search(environ.get("HTTP_COOKIE", ""))
        cookie = dump_cookie(
            self._name,
            found[1] if found else secrets.token_hex(16),
            max_age=_LIFETIME_SECONDS,
            secure=self._secure,
            httponly=True,
            samesite="Lax",
        )
        response.headers.add("Set-Cookie", cookie)
