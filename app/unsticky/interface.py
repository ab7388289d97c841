"""Flask's session interface: cookie in, session opened; session committed, cookie out."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from flask import Flask, Request
from flask.sessions import SessionInterface
from werkzeug.wrappers import Response

from .backend import Backend
from .cookie import Token
from .errors import ConfigurationError, Conflict, SessionError
from .link import CookieAction, RequestFacts
from .problem import replace
from .rerun import RERUN
from .session import Session
from .unit import Unit

if TYPE_CHECKING:
    from flask.sessions import SessionMixin

_log = logging.getLogger("unsticky")

OPTIONAL: Final = "_unsticky_optional"
"""The attribute by which `@sessions.optional` marks a view."""

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
        value = request.cookies.get(self._backend.policy.cookie.name)
        facts = RequestFacts(
            operation=self._operation(request),
            request_id=_shown(request.headers.get("X-Request-ID", "")),
            # Asked only when the store fails: the session is opened before the URL is matched.
            optional=lambda: hasattr(app.view_functions.get(request.endpoint or ""), OPTIONAL),
            rerun=environ.get(RERUN),
            has_cookie=value is not None,
        )
        token = self._token(value, facts.request_id) if value else None
        return Session(Unit(self._backend, token, facts))  # type: ignore[return-value]  # has all that Flask uses of SessionMixin

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:  # noqa: ARG002 (Flask's signature)
        """Commit once, and make the response say what came of it; never raises."""
        assert isinstance(session, Session)  # noqa: S101 (made by open_session)
        unit = session.unit
        if not unit.touched:
            unit.seal()
            return
        try:
            unit.commit()
        except SessionError as error:
            self._fail(unit, error, response)
        except Exception as error:  # noqa: BLE001 (Flask would answer 500 and commit again)
            _log.exception("session could not be committed")
            self._fail(unit, SessionError(str(error)), response)
        unit.seal()
        self._backend.counters.store_seconds += unit.link.seconds()
        if "Cookie" not in response.headers.get("Vary", ""):
            response.headers.add("Vary", "Cookie")
        self._send_cookie(unit, response)

    def _fail(self, unit: Unit, error: SessionError, response: Response) -> None:
        if isinstance(error, Conflict) and unit.link.facts.rerun is not None:
            self._backend.counters.reruns += 1
            unit.link.facts.rerun()
        if error.status >= 500:  # noqa: PLR2004 (server errors)
            _log.error("session not committed, request %s: %s", unit.link.facts.request_id, error)
        replace(response, self._on_error(error))

    def _send_cookie(self, unit: Unit, response: Response) -> None:
        policy = self._backend.policy
        link, token = unit.link, unit.link.token
        if link.cookie is CookieAction.DELETE:
            self._set_cookie(response, "", max_age=0)
        elif token is not None and (
            link.cookie is CookieAction.SEND
            or (unit.keeps_cookie_alive() and (policy.refresh_cookie or token.outdated))
        ):
            deadline = -(-link.record.deadline // 1000) if link.record else token.deadline
            max_age = policy.lifetimes.idle // 1000 if unit.is_permanent() else None
            self._set_cookie(response, self._backend.ring.sign(token, deadline), max_age=max_age)
        elif unit.link.facts.has_cookie:
            _keep_private(response)

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

    def _token(self, value: str, request_id: str) -> Token | None:
        token = self._backend.ring.verify(value)
        if token is None:
            return None
        if token.deadline and time.time() > token.deadline + _CLOCK_TOLERANCE_SECONDS:
            self._backend.emit("session_expired", token.reference, request_id)
            return None
        return token

    def _operation(self, request: Request) -> bytes:
        header = self._backend.policy.request_id_header
        given = request.headers.get(header) if header else None
        return given.encode() if given else secrets.token_bytes(16)


def _keep_private(response: Response) -> None:
    """Keep shared caches away from an answer that a session went into."""
    control = response.headers.get("Cache-Control", "")
    if "no-store" not in control and "private" not in control:
        response.cache_control.public = False
        response.cache_control.private = True


def _shown(request_id: str) -> str:
    """Return the request id if it is fit for a log line, else nothing."""
    return request_id if _REQUEST_ID.fullmatch(request_id) else ""
