"""Flask's session interface: cookie in, session opened; session committed, cookie out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from flask import Flask, Request
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.wrappers import Response

from .backend import Backend
from .errors import ConfigurationError, Conflict, SessionError, SessionGone
from .link import CookieAction
from .opening import Opening
from .problem import problem, replace
from .session import Session
from .unit import Unit

_log = logging.getLogger("unsticky")


class Interface(SessionInterface):
    """Opens a session for every request and commits it once, when the response is made."""

    def __init__(self, backend: Backend, on_error: Callable[[SessionError], Response]) -> None:
        self.backend = backend
        self._on_error = on_error
        self._memory_only = backend.policy.store.startswith("memory:")
        self._unchecked = True

    def open_session(self, app: Flask, request: Request) -> SessionMixin | None:
        """Return the request's session; nothing is asked of the store yet.

        None where the application has no secret: Flask then refuses changes, as it does alone.
        """
        if self._unchecked or app.debug:
            self.backend.check_settings()
            self._unchecked = False
        environ = request.environ
        if self._memory_only and environ.get("wsgi.multiprocess"):
            message = (
                "the memory store cannot serve several processes, each would have its own "
                "sessions: set UNSTICKY_STORE or REDIS_URL, or run one process"
            )
            raise ConfigurationError(message)
        if not app.secret_key:
            return None
        return Session(Opening(self.backend, request))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:  # noqa: ARG002 (Flask's signature)
        """Commit once, and make the response say what came of it.

        Raises:
            SessionError: with status 500, as an error of the application's own is: Flask logs it,
                shows it in debug, and calls its handler. Any that no response can tell.
        """
        assert isinstance(session, Session)
        unit = session._begun  # noqa: SLF001 (the library's own)
        if unit is None or not unit.touched:
            self._keep_stream_private(session, response)
            session._seal()  # noqa: SLF001 (likewise)
            return
        try:
            unit.commit()
            self._describe(unit, response)
        except SessionError as error:
            if error.status == 500 or unit.link.facts.silent:
                # The answer that Flask makes of it is saved, too, with what its handler set.
                unit.abandon()
                raise
            self._fail(unit, error, response)
        except Exception:
            unit.abandon()
            raise
        session._seal()  # noqa: SLF001 (likewise)

    def _describe(self, unit: Unit, response: Response) -> None:
        """Set the headers that tell browsers and caches what came of the session."""
        self.backend.counters.store_seconds += unit.link.seconds()
        # Looked up in one pass: asking werkzeug for a header that is not there raises inside.
        present = {name.lower() for name, _ in response.headers}
        _vary(response, present)
        if unit.link.logged_out and self.backend.policy.clear_site_data:
            # Never "cookies": that would take siblings' cookies, and newer ones, along.
            response.headers["Clear-Site-Data"] = '"cache", "storage"'
        adoption = self.backend.adoption
        spent = unit.link.old_cookie_spent or unit.link.logged_out
        if adoption is not None and adoption.cookie and spent:
            self._delete_cookie(response, adoption.cookie)
        if not self._sends_cookie(unit, response) and unit.link.facts.has_cookie:
            _keep_private(response, decided="cache-control" in present)

    def _keep_stream_private(self, session: Session, response: Response) -> None:
        """Tell caches of a stream that may read the session after its headers are gone."""
        if not response.is_streamed or response.direct_passthrough:
            return
        if session._opening.has_cookie:  # noqa: SLF001 (the library's own)
            present = {name.lower() for name, _ in response.headers}
            _vary(response, present)
            _keep_private(response, decided="cache-control" in present)

    def _fail(self, unit: Unit, error: SessionError, response: Response) -> None:
        """Turn the response into what the error answers."""
        withdraw(unit, error)
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
        link, token = unit.link, unit.link.token
        if link.cookie is CookieAction.DELETE and token is None:
            self._set_cookie(response, "", max_age=0)
            return True
        due = link.cookie is CookieAction.SEND or unit.renews_cookie(
            refresh=self.backend.app.config["SESSION_REFRESH_EACH_REQUEST"]
        )
        if token is None or not due:
            return False
        permanent = unit.is_permanent()
        idle = (link.record and link.record.idle) or self.backend.lifetimes.idle
        value = self.backend.ring.sign(token, link.deadline, permanent=permanent)
        self._set_cookie(response, value, max_age=idle // 1000 if permanent else None)
        return True

    def _delete_cookie(self, response: Response, name: str) -> None:
        """Delete the cookie of the library used before, where it has a name of its own."""
        cookie = self.backend.cookie
        response.delete_cookie(
            name, cookie.path, cookie.domain, cookie.secure, cookie.httponly, cookie.samesite
        )

    def _set_cookie(self, response: Response, value: str, *, max_age: int | None) -> None:
        cookie = self.backend.cookie
        # Werkzeug knows Partitioned since 3.1.
        more = {"partitioned": True} if cookie.partitioned else {}
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
            **more,
        )
        response.headers["Cache-Control"] = "no-store"


def withdraw(unit: Unit, error: SessionError) -> None:
    """Drop what the request changed, for an answer that says so, or let it run again."""
    unit.abandon()
    unit.answering = True
    # What was set aside as unreadable is told, not passed over as if nobody had been there.
    if isinstance(error, Conflict) or (isinstance(error, SessionGone) and error.kind != "corrupt"):
        unit.run_again()


def _vary(response: Response, present: set[str]) -> None:
    if "vary" not in present:
        response.headers.add("Vary", "Cookie")
        return
    _join(response, "Vary")
    if "cookie" not in response.vary:
        response.vary.add("Cookie")


def _keep_private(response: Response, *, decided: bool) -> None:
    """Keep shared caches away from an answer that a session went into."""
    if not decided:
        response.headers.add("Cache-Control", "private")
        return
    control = _join(response, "Cache-Control")
    if "no-store" not in control and "private" not in control:
        response.cache_control.public = False
        response.cache_control.private = True


def _join(response: Response, name: str) -> str:
    """Make one line of several, as extensions add them: werkzeug would change the first alone."""
    lines = response.headers.getlist(name)
    if len(lines) > 1:
        response.headers[name] = ", ".join(lines)
    return ", ".join(lines)
