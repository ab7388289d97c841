"""Flask's session interface: cookie in, session opened; session committed, cookie out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

from flask import Flask, Request
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.wrappers import Response

from .errors import ConfigurationError, Conflict, SessionError, SessionGone
from .problem import problem, replace
from .request_facts import RequestFacts
from .session import Session
from .state import ExtensionState
from .unit_of_work import Cookie, UnitOfWork, commit

_log = logging.getLogger("unsticky")


class Interface(SessionInterface):
    """Opens a session for every request and commits it once, when the response is made."""

    def __init__(
        self, extension: ExtensionState, on_error: Callable[[SessionError], Response]
    ) -> None:
        self.extension = extension
        self._on_error = on_error
        self._one_process = "processes" in extension.lacks
        self._unchecked = True

    def open_session(self, app: Flask, request: Request) -> SessionMixin | None:
        """Return the request's session, without asking the store.

        None if the application has no secret key: Flask then refuses changes.
        """
        extension = self.extension
        if self._unchecked or app.debug:
            extension.check_settings()
            self._unchecked = False
        if self._one_process and request.environ.get("wsgi.multiprocess"):
            raise ConfigurationError(
                f"the store {extension.store.description} cannot serve several processes, because "
                "each would have other sessions: set UNSTICKY_STORE or REDIS_URL, or run one "
                "process"
            )
        if not app.secret_key:
            return None
        return Session(extension, RequestFacts(extension, request))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:  # noqa: ARG002 (Flask's signature)
        """Commit once, and set the response's cookie and headers, or answer the error.

        Raises:
            SessionError: with status 500, a mistake of the application: Flask logs it, shows it in
                debug mode, and calls its handler. Or any, if there is no response to answer it.
        """
        assert isinstance(session, Session)
        unit = session._begun  # noqa: SLF001 (the library's own)
        if unit is None or not unit.touched:
            self._keep_stream_private(session, response)
            session._seal()  # noqa: SLF001 (likewise)
            return
        try:
            commit(unit)
            self._describe(session, unit, response)
        except SessionError as error:
            if error.status == 500 or session._facts.silent:  # noqa: SLF001 (likewise)
                # Flask's answer is saved, too, with what the application's handler set.
                unit.abandon()
                raise
            self._fail(session, unit, error, response)
        except Exception:
            unit.abandon()
            raise
        session._seal()  # noqa: SLF001 (likewise)

    def _describe(self, session: Session, unit: UnitOfWork, response: Response) -> None:
        """Set the headers that say what became of the session, for browsers and caches."""
        extension, stored = self.extension, unit.stored
        spent = stored.deadline.total - stored.deadline.remaining
        extension.counters.store_seconds += spent
        # Looked up in one pass: werkzeug raises internally when a header is missing.
        present = {name.lower() for name, _ in response.headers}
        _vary(response, present)
        if extension.config.clear_site_data and stored.logged_out:
            # Never "cookies": that would also delete cookies of sibling sites, and newer ones.
            response.headers["Clear-Site-Data"] = '"cache", "storage"'
        adoption = extension.adoption
        if adoption is not None and adoption.cookie and stored.is_old_cookie_spent:
            self._set_cookie(response, Cookie("", 0), adoption.cookie)
        refresh = extension.app.config["SESSION_REFRESH_EACH_REQUEST"]
        cookie = stored.cookie_due(unit.is_permanent, refresh=refresh)
        if cookie is not None:
            self._set_cookie(response, cookie)
        elif session._facts.has_cookie:  # noqa: SLF001 (the library's own)
            _keep_private(response, decided="cache-control" in present)

    def _keep_stream_private(self, session: Session, response: Response) -> None:
        """Keep caches from a stream that may read the session after its headers were sent."""
        if not response.is_streamed or response.direct_passthrough:
            return
        if session._facts.has_cookie:  # noqa: SLF001 (the library's own)
            present = {name.lower() for name, _ in response.headers}
            _vary(response, present)
            _keep_private(response, decided="cache-control" in present)

    def _fail(
        self, session: Session, unit: UnitOfWork, error: SessionError, response: Response
    ) -> None:
        """Turn the response into the answer to the error."""
        withdraw(unit, error)
        try:
            answer = self._on_error(error)
        except Exception:  # noqa: BLE001 (the application's function may raise anything)
            _log.exception("on_error failed; the answer is the library's own")
            answer = problem(error)
        replace(response, answer)
        # The session may have been created, rotated or ended before the error.
        with suppress(SessionError):
            self._describe(session, unit, response)

    def _set_cookie(self, response: Response, cookie: Cookie, name: str = "") -> None:
        """Set or delete the session's cookie, or one of another name, with the same attributes."""
        attributes = self.extension.cookie
        # Werkzeug knows Partitioned since 3.1.
        more = {"partitioned": True} if attributes.partitioned else {}
        response.set_cookie(
            name or attributes.name,
            cookie.value,
            max_age=cookie.max_age,
            expires=0 if cookie.max_age == 0 else None,
            path=attributes.path,
            domain=attributes.domain,
            secure=attributes.secure,
            httponly=attributes.httponly,
            samesite=attributes.samesite,
            **more,
        )
        response.headers["Cache-Control"] = "no-store"


def withdraw(unit: UnitOfWork, error: SessionError) -> None:
    """Drop what the request changed, because the answer says so, or let the request run again."""
    unit.abandon(answering=True)
    # An unreadable session is answered: another run would find no session and hide the damage.
    if isinstance(error, Conflict) or (isinstance(error, SessionGone) and error.kind != "corrupt"):
        retry = unit.retry
        if retry is not None:
            unit.extension.counters.retries += 1
            retry()


def _vary(response: Response, present: set[str]) -> None:
    if "vary" not in present:
        response.headers.add("Vary", "Cookie")
        return
    _join(response, "Vary")
    if "cookie" not in response.vary:
        response.vary.add("Cookie")


def _keep_private(response: Response, *, decided: bool) -> None:
    """Keep an answer that depends on a session out of shared caches."""
    if not decided:
        response.headers.add("Cache-Control", "private")
        return
    control = _join(response, "Cache-Control")
    if "no-store" not in control and "private" not in control:
        response.cache_control.public = False
        response.cache_control.private = True


def _join(response: Response, name: str) -> str:
    """Join several lines of a header into one: werkzeug would change only the first."""
    values = response.headers.getlist(name)
    if len(values) > 1:
        response.headers[name] = ", ".join(values)
    return ", ".join(values)
