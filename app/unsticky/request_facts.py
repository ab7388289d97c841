"""What a session needs to know of its request: cookies, operation name, marks of the view."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from flask import Request

from .cookie import Token
from .retry import RUN, Run
from .state import ExtensionState

OPTIONAL: Final = "_unsticky_optional"
"""The attribute by which `@sessions.optional` marks a view."""

NO_RETRY: Final = "_unsticky_no_retry"
"""The attribute by which `@sessions.no_retry` marks a view."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{0,128}")

_REDEEMED: Final = frozenset({"code", "state", "token", "ticket"})
"""Names in a query whose value can be used only once: the GET of an OAuth callback has effects."""

_CLOCK_TOLERANCE_SECONDS: Final = 300
"""How far this machine's clock may be ahead of the store's. Within it the store decides whether a
session has expired."""

_MOST_COOKIES: Final = 8
"""How many cookies of the session's name are read."""


class RequestFacts:
    """One request, asked by its session when an answer matters.

    Attributes:
        began: when the request began, in seconds of the monotonic clock.
        old_cookies: the cookies of the library used before, once `tokens` was called.
    """

    __slots__ = (
        "_extension",
        "_found",
        "_number",
        "_operation",
        "_request",
        "_run",
        "began",
        "old_cookies",
    )

    def __init__(self, extension: ExtensionState, request: Request) -> None:
        self._extension = extension
        self._request = request
        self._run: Run | None = request.environ.get(RUN)
        self._number = self._run.opened() if self._run is not None else 1
        self._operation = b""
        self._found: list[str] | None = None
        self.old_cookies: list[str] = []
        self.began = time.monotonic()

    def tokens(self) -> list[Token]:
        """Return what the session cookies hold that were signed here and have not expired."""
        extension = self._extension
        cookies = self._found = self._cookies()
        tokens = self._signed(cookies)
        oldest = time.time() - _CLOCK_TOLERANCE_SECONDS
        living = [token for token in tokens if not token.is_past(oldest)]
        if tokens and not living:
            expired = tokens[0].reference
            extension.announce("session_expired", expired, self.request_id, kind="absolute")
        elif not tokens and extension.adoption is not None and not self.silent:
            self.old_cookies = self._cookies(extension.adoption.cookie)
        elif not tokens and cookies:
            extension.counters.unknown_ids += 1
            extension.announce("unknown_id", None, self.request_id)
        return living

    def _signed(self, cookies: list[str]) -> list[Token]:
        ring = self._extension.ring
        verified = map(ring.verify, cookies[:_MOST_COOKIES])
        tokens = [each for token in verified if token is not None for each in ring.all_of(token)]
        return list(dict.fromkeys(tokens))

    def _cookies(self, name: str = "") -> list[str]:
        """Return the values of the session's cookie, or of `name`, in the browser's order.

        There may be several: a browser keeps one cookie for each path and domain, and sends all. A
        proxy may have joined two headers by a comma.
        """
        header = self._request.environ.get("HTTP_COOKIE")
        if not header:
            return []
        return _pattern(name or self._extension.app.config["SESSION_COOKIE_NAME"]).findall(header)

    @property
    def has_cookie(self) -> bool:
        """Whether the browser sent a session cookie of any kind."""
        found = self._cookies() if self._found is None else self._found
        adoption = self._extension.adoption
        old = adoption.cookie if adoption is not None else ""
        return bool(found or (old and self._cookies(old)))

    @property
    def silent(self) -> bool:
        """Whether no answer goes to the browser, so that it cannot learn of a new cookie."""
        request = self._request
        # `sid` is Flask-SocketIO's. Its handlers have the request that began the connection.
        return (
            self._number > 1
            or hasattr(request, "sid")
            or getattr(request.url_rule, "websocket", False)
        )

    @property
    def is_safe(self) -> bool:
        """Whether the method asks for no change (RFC 9110, section 9.2.1)."""
        return self._request.method in {"GET", "HEAD", "OPTIONS"}

    @property
    def retry(self) -> Callable[[], None] | None:
        """Lets the request run again from the start; None if that is not possible."""
        run = self._run
        if run is None or not run.repeatable or self.silent:
            return None
        if not self._extension.config.retry or self._is_marked(NO_RETRY):
            return None
        return None if _REDEEMED.intersection(self._request.args) else run.withdraw

    @property
    def operation(self) -> bytes:
        """The name of this request at the store.

        A proxy that resends a request may give both the same name in a trusted header. Otherwise
        the name is random.
        """
        if not self._operation:
            header = self._extension.config.request_id_header
            given = self._request.headers.get(header) if header else None
            if given:
                name = given.encode()
            else:
                name = self._run.operation if self._run is not None else secrets.token_bytes(16)
            self._operation = name if self._number == 1 else b"%b\0%d" % (name, self._number)
        return self._operation

    @property
    def request_id(self) -> str:
        """The request's id for signals and logs; empty if there is none."""
        return request_id(self._request)

    @property
    def label(self) -> str:
        """What a user's list shows for a session that is adopted in this request."""
        return self._request.headers.get("User-Agent", "")

    @property
    def optional(self) -> bool:
        """Whether the view can live without the store. Known once the URL is matched."""
        return self._is_marked(OPTIONAL)

    def _is_marked(self, mark: str) -> bool:
        view = self._extension.app.view_functions.get(self._request.endpoint or "")
        return hasattr(view, mark)


def request_id(request: Request) -> str:
    """Return the request's id for signals and logs; empty if it is not fit for a log line."""
    given = request.headers.get("X-Request-ID", "")
    return given if _REQUEST_ID.fullmatch(given) else ""


@lru_cache(maxsize=16)
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf'(?:^|[;,])\s*{re.escape(name)}\s*=\s*"?([^;,"\s]*)')
