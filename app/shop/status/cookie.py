"""The cookie by which the page knows the requests of one browser.

It is not the session's: the picture goes on through login and logout, which change the session's
id, and looking at it must not create a session. Only `/status` sets it.
"""

from __future__ import annotations

import hashlib
import re
import secrets

from flask import Response
from werkzeug.http import dump_cookie

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

    def browser(self, cookies: str) -> str | None:
        """Return the name of a browser, by its `Cookie` header; None without the cookie.

        It is a digest, so that the store does not hold the cookie's value.
        """
        found = self._pattern.search(cookies)
        return hashlib.sha256(found[1].encode()).hexdigest()[:32] if found else None

    def set(self, response: Response, cookies: str) -> None:
        """Give the browser the cookie, or keep it for another ten minutes."""
        found = self._pattern.search(cookies)
        cookie = dump_cookie(
            self._name,
            found[1] if found else secrets.token_hex(16),
            max_age=_LIFETIME_SECONDS,
            secure=self._secure,
            httponly=True,
            samesite="Lax",
        )
        response.headers.add("Set-Cookie", cookie)
