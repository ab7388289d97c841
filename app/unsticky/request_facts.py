"""A request at the moment its session is opened: its cookies, its name, what its view declared."""

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
from .state import Backend
from .unit_of_work import Unit

OPTIONAL: Final = "_unsticky_optional"
"""The attribute by which `@sessions.optional` marks a view."""

NO_RETRY: Final = "_unsticky_no_retry"
"""The attribute by which `@sessions.no_retry` marks a view."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{0,128}")

_REDEEMED: Final = frozenset({"code", "state", "token", "ticket"})
"""What a query carries that can be redeemed once: the GET of an OAuth callback has effects."""

_CLOCK_TOLERANCE_SECONDS: Final = 300
"""How far this machine's clock may be ahead of the store's before a cookie is thought expired;
within it the store decides."""

_MOST_COOKIES: Final = 8
"""How many cookies of the session's name are looked at."""


class Opening:
    """A request whose session may be touched, and what the session wants to know of it then."""

    __slots__ = (
        "_backend",
        "_found",
        "_number",
        "_operation",
        "_request",
        "_run",
        "began",
        "old_cookies",
    )

    def __init__(self, backend: Backend, request: Request) -> None:
        self._backend = backend
        self._request = request
        self._run: Run | None = request.environ.get(RUN)
        self._number = self._run.opened() if self._run is not None else 1
        self._operation = b""
        self._found: list[str] | None = None
        self.old_cookies: list[str] = []
        self.began = time.monotonic()

    def begin(self) -> Unit:
        """Look at the cookies; the view has touched its session."""
        backend = self._backend
        cookies = self._found = self._cookies()
        tokens = self._signed(cookies)
        oldest = time.time() - _CLOCK_TOLERANCE_SECONDS
        living = [token for token in tokens if not token.is_past(oldest)]
        if tokens and not living:
            backend.emit("session_expired", tokens[0].reference, self.request_id, kind="absolute")
        elif not tokens and backend.adoption is not None and not self.silent:
            self.old_cookies = self._cookies(backend.adoption.cookie)
        elif not tokens and cookies:
            backend.counters.unknown_ids += 1
            backend.emit("unknown_id", None, self.request_id)
        return Unit(backend, living, self)

    def _signed(self, cookies: list[str]) -> list[Token]:
        """Return what the cookies hold that were signed here."""
        ring = self._backend.ring
        found = [ring.verify(value) for value in cookies[:_MOST_COOKIES]]
        return [token for token in dict.fromkeys(found) if token is not None]

    def _cookies(self, name: str = "") -> list[str]:
        """Return the values of the session's cookie, or another's, in the browser's order.

        There are several where the attributes changed: a browser keeps a cookie for each path and
        domain, and sends all. A proxy may have joined two headers by a comma.
        """
        header = self._request.environ.get("HTTP_COOKIE")
        if not header:
            return []
        return _pattern(name or self._backend.app.config["SESSION_COOKIE_NAME"]).findall(header)

    @property
    def has_cookie(self) -> bool:
        """See `RequestFacts.has_cookie`."""
        found = self._cookies() if self._found is None else self._found
        adoption = self._backend.adoption
        old = adoption.cookie if adoption is not None else ""
        return bool(found or (old and self._cookies(old)))

    @property
    def silent(self) -> bool:
        """See `RequestFacts.silent`."""
        request = self._request
        # `sid` is Flask-SocketIO's, whose handlers have the request that began the connection.
        return (
            self._number > 1
            or hasattr(request, "sid")
            or getattr(request.url_rule, "websocket", False)
        )

    @property
    def is_safe(self) -> bool:
        """See `RequestFacts.is_safe`."""
        return self._request.method in {"GET", "HEAD", "OPTIONS"}

    @property
    def rerun(self) -> Callable[[], None] | None:
        """See `RequestFacts.rerun`."""
        run = self._run
        if run is None or not run.repeatable or self.silent:
            return None
        if not self._backend.policy.retry or self._is_marked(NO_RETRY):
            return None
        return None if _REDEEMED.intersection(self._request.args) else run.withdraw

    @property
    def operation(self) -> bytes:
        """The proxy's name for this request if it is trusted, else a random one."""
        if not self._operation:
            header = self._backend.policy.request_id_header
            given = self._request.headers.get(header) if header else None
            if given:
                name = given.encode()
            else:
                name = self._run.operation if self._run is not None else secrets.token_bytes(16)
            self._operation = name if self._number == 1 else b"%b\0%d" % (name, self._number)
        return self._operation

    @property
    def request_id(self) -> str:
        """See `RequestFacts.request_id`."""
        return request_id(self._request)

    @property
    def label(self) -> str:
        """See `RequestFacts.label`."""
        return self._request.headers.get("User-Agent", "")

    @property
    def optional(self) -> bool:
        """Whether the view was marked; known once the URL is matched, after the session is open."""
        return self._is_marked(OPTIONAL)

    def _is_marked(self, mark: str) -> bool:
        view = self._backend.app.view_functions.get(self._request.endpoint or "")
        return hasattr(view, mark)


def request_id(request: Request) -> str:
    """Return the request's id for logs and signals; nothing where it is not fit for a log line."""
    given = request.headers.get("X-Request-ID", "")
    return given if _REQUEST_ID.fullmatch(given) else ""


@lru_cache(maxsize=16)
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf'(?:^|[;,])\s*{re.escape(name)}\s*=\s*"?([^;,"\s]*)')
