"""The trail: the cookie by which a browser's requests are known as one browser's.

It is not the session: the picture must go on through login and logout, which change the
session's id, and looking at the picture must not create a session. Only ``/status`` sets it.
"""

from __future__ import annotations

import hashlib
import re
import secrets

from flask import Response
from werkzeug.http import dump_cookie

# After this a browser that left the page is no longer followed (seconds).
_LIFETIME = 600


class Trail:
    """The trail cookie as this shop sets it.

    Args:
        secure: Whether browsers reach the shop by TLS.
    """

    def __init__(self, *, secure: bool) -> None:
        self._secure = secure
        self._name = "__Host-trail" if secure else "trail"
        self._pattern = re.compile(rf"(?:^|;\s*){self._name}=([0-9a-f]{{32}})(?:;|$)")

    def key(self, cookies: str) -> str | None:
        """Return the board's key for a browser, by its ``Cookie`` header; ``None`` without one.

        A digest: what the browser holds is nowhere in the store.
        """
        found = self._pattern.search(cookies)
        return hashlib.sha256(found[1].encode()).hexdigest()[:32] if found else None

    def set(self, response: Response, cookies: str) -> None:
        """Let the browser be followed for another while."""
        found = self._pattern.search(cookies)
        cookie = dump_cookie(
            self._name,
            found[1] if found else secrets.token_hex(16),
            max_age=_LIFETIME,
            secure=self._secure,
            httponly=True,
            samesite="Lax",
        )
        response.headers.add("Set-Cookie", cookie)
