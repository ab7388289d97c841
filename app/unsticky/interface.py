"""Flask's session interface: cookie in, session opened; session committed, cookie out."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from flask import Flask, Request
from flask.sessions import SessionInterface
from werkzeug.wrappers import Response

from .backend import Backend
from .errors import ConfigurationError, Conflict, SessionError
from .link import CookieAction
from .problem import problem, replace
from .rerun import RERUN
from .session import Session
from .unit import Unit

if TYPE_CHECKING:
    from flask.sessions import SessionMixin

_log = logging.getLogger("unsticky")

OPTIONAL: Final = "_unsticky_optional"
"""The attribute by which `@sessions.optional` marks a view."""

_OPERATION: Final = "unsticky.operation"

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{0,128}")

_CLOCK_TOLERANCE_SECONDS: Final = 300
"""How far this machine's clock may be ahead of the store's before a cookie is thought expired;
within it the store decides."""


class Interface(SessionInterface):
    """Opens a session for every request and commits it once, when the response is made."""

    def __init__(self, backend: Backend, on_error: Callable[[SessionError], Response]) -> None:
        self._backend = backend
        self._on_error = on_error
        self._memory_only = backend.policy.store.startswith("memory:")

    def open_session(self, app: Flask, request: Request) -> SessionMixin:
        """Return the request's session; nothing is asked of the store yet."""
        environ = request.environ
        if self._memory_only and environ.get("wsgi.multiprocess"):
            message = (
                "the memory store cannot serve several processes, each would have its own "
                "sessions: set UNSTICKY_STORE or REDIS_URL, or run one process"
            )
            raise ConfigurationError(message)
        return Session(partial(self._open, app, request))  # type: ignore[return-value]  # has all that Flask uses of SessionMixin

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:  # noqa: ARG002 (Flask's signature)
        """Commit once, and make the response say what came of it; never raises."""
        assert isinstance(session, Session)  # noqa: S101 (made by open_session)
        if session.touched:
            unit = session.unit
            try:
                unit.commit()
                self._describe(unit, response)
            except Exception as error:  # noqa: BLE001 (Flask would answer 500 and commit again)
                self._fail(unit, error, response)
        session.seal()

    def _describe(self, unit: Unit, response: Response) -> None:
        """Set the headers that tell browsers and caches what came of the session."""
        self._backend.counters.store_seconds += unit.link.seconds()
        # Looked up in one pass: asking werkzeug for a header that is not there raises inside.
        present = {name.lower() for name, _ in response.headers}
        if "vary" not in present or "cookie" not in response.vary:
            response.headers.add("Vary", "Cookie")
        if not self._sends_cookie(unit, response) and unit.link.facts.has_cookie:
            _keep_private(response, decided="cache-control" in present)

    def _fail(self, unit: Unit, error: Exception, response: Response) -> None:
        """Turn the response into what the error answers."""
        if not isinstance(error, SessionError):
            _log.error("session not committed", exc_info=error)
            error = SessionError(str(error))
        elif error.status >= 500:  # noqa: PLR2004 (server errors)
            _log.error("session not committed, request %s: %s", unit.link.facts.request_id, error)
        rerun = unit.link.rerun
        if isinstance(error, Conflict) and rerun is not None:
            self._backend.counters.reruns += 1
            rerun()
        try:
            answer = self._on_error(error)
        except Exception:  # noqa: BLE001 (whatever the application's function does)
            _log.exception("on_error failed; the answer is the library's own")
            answer = problem(error)
        replace(response, answer)
        # A session made, rotated or ended before the error: the browser must learn of it.
        with suppress(SessionError):
            self._describe(unit, response)

    def _sends_cookie(self, unit: Unit, response: Response) -> bool:
        """Send, renew or delete the cookie where that is due; return whether it was."""
        policy = self._backend.policy
        link, token = unit.link, unit.link.token
        if link.cookie is CookieAction.DELETE:
            self._set_cookie(response, "", max_age=0)
            if policy.clear_site_data:
                # Never "cookies": that would take siblings' cookies, and newer ones, along.
                response.headers["Clear-Site-Data"] = '"cache", "storage"'
            return True
        due = link.cookie is CookieAction.SEND or (
            unit.keeps_cookie_alive()
            and (policy.refresh_cookie or (token is not None and token.outdated))
        )
        if token is None or not due:
            return False
        deadline = -(-link.record.deadline // 1000) if link.record else token.deadline
        max_age = policy.lifetimes.idle // 1000 if unit.is_permanent() else None
        self._set_cookie(response, self._backend.ring.sign(token, deadline), max_age=max_age)
        return True

    def _set_cookie(self, response: Response, value: str, *, max_age: int | None) -> None:
        cookie = self._backend.policy.cookie
        response.set_cookie(
            cookie.name,
            value,
            max_age=max_age,
            expires=0 if max_age == 0 else None,
            path=cookie.path,
            domain=cookie.domain,
            secure=cookie.secure,
            httponly=cookie.httponly,
            samesite=cookie.samesite,
            partitioned=cookie.partitioned,
        )
        response.headers["Cache-Control"] = "no-store"

    def _open(self, app: Flask, request: Request) -> Unit:
        """Look at the cookie; the view has touched its session."""
        value = request.cookies.get(self._backend.policy.cookie.name)
        facts = _Facts(app, request, self._backend.policy.request_id_header, value is not None)
        token = self._backend.ring.verify(value) if value else None
        if token is not None and token.is_past(time.time() - _CLOCK_TOLERANCE_SECONDS):
            self._backend.emit("session_expired", token.reference, facts.request_id)
            token = None
        return Unit(self._backend, token, facts)


def request_id(request: Request) -> str:
    """Return the request's id for logs and signals; nothing where it is not fit for a log line."""
    given = request.headers.get("X-Request-ID", "")
    return given if _REQUEST_ID.fullmatch(given) else ""


class _Facts:
    """What the session may want to know of Flask's request."""

    __slots__ = ("_app", "_header", "_operation", "_request", "has_cookie", "rerun")

    def __init__(self, app: Flask, request: Request, header: str | None, has_cookie: bool) -> None:  # noqa: FBT001 (private)
        self._app = app
        self._request = request
        self._header = header
        self._operation = b""
        self.has_cookie = has_cookie
        self.rerun: Callable[[], None] | None = request.environ.get(RERUN)

    @property
    def operation(self) -> bytes:
        """The proxy's name for this request if it is trusted, else a random one."""
        if not self._operation:
            given = self._request.headers.get(self._header) if self._header else None
            # Kept in the environment: a view that runs again must not add a second time.
            self._operation = (
                given.encode()
                if given
                else self._request.environ.setdefault(_OPERATION, secrets.token_bytes(16))
            )
        return self._operation

    @property
    def request_id(self) -> str:
        """See `RequestFacts.request_id`."""
        return request_id(self._request)

    @property
    def optional(self) -> bool:
        """Whether the view was marked; known once the URL is matched, after the session is open."""
        return hasattr(self._app.view_functions.get(self._request.endpoint or ""), OPTIONAL)


def _keep_private(response: Response, *, decided: bool) -> None:
    """Keep shared caches away from an answer that a session went into."""
    if not decided:
        response.headers.add("Cache-Control", "private")
        return
    control = response.headers["Cache-Control"]
    if "no-store" not in control and "private" not in control:
        response.cache_control.public = False
        response.cache_control.private = True
