"""`Unsticky(app)`: configuration is read, the store opened, Flask's sessions replaced."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from weakref import WeakSet

from flask import Flask, current_app, has_app_context, has_request_context, request, session
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from . import versions
from .adoption.settings import adoption_from_config
from .cli import commands
from .config import MAX_FIELDS, Policy
from .errors import (
    ConfigurationError,
    OutcomeUnknown,
    OutOfRange,
    SessionError,
    StoreUnavailable,
)
from .flask_login import follow_flask_login
from .interface import Interface, withdraw
from .problem import problem
from .request_facts import NO_RETRY, OPTIONAL, request_id
from .retry import Rerunner
from .session import Session
from .signals import Announcer
from .state import Backend, Counters
from .stores.base import Caps, Deadline
from .stores.urls import open_store
from .templates import show_keys_first
from .user_sessions import Directory, SessionInfo

_log = logging.getLogger("unsticky")

_NAME = "unsticky"

V = TypeVar("V", bound=Callable[..., Any])


class Unsticky:
    """Server-side sessions for Flask applications.

    Args:
        app: the application; or call `init_app` later, also for several applications.
        on_error: makes the answer to a session error that a client can meet, also to one that is
            found only when the response was made already; see `problem` for the default.

    Raises:
        ConfigurationError: a setting is missing, malformed or contradicts another.
    """

    def __init__(
        self, app: Flask | None = None, *, on_error: Callable[[SessionError], Response] = problem
    ) -> None:
        self._on_error = on_error
        self._backends: WeakSet[Backend] = WeakSet()
        self._newest: Backend | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read `app.config` and serve the application's sessions from now on.

        Raises:
            ConfigurationError: see the class.
        """
        versions.check()
        if _NAME in app.extensions:
            message = "Unsticky serves this application already: call init_app once for each"
            raise ConfigurationError(message)
        policy, client = Policy.from_config(app.config), app.config.get("SESSION_REDIS")
        backend = Backend(
            app,
            policy,
            open_store(policy.store, client, policy.prefix, Caps(MAX_FIELDS, policy.max_bytes)),
            Announcer(app),
            adoption_from_config(app, policy),
        )
        # What is wrong already is refused now; what changes later is read when it is needed.
        _ = backend.lifetimes, backend.cookie
        if app.secret_key:
            _ = backend.ring
        # A factory may be called for each test: only the newest application is kept alive.
        self._backends.add(backend)
        self._newest = backend
        app.extensions[_NAME] = self
        app.session_interface = Interface(backend, self._on_error)
        app.wsgi_app = Rerunner(app.wsgi_app)  # type: ignore[method-assign]  # Flask's documented way to add middleware
        handlers = app.error_handler_spec[None][None]
        if SessionError not in handlers:
            app.register_error_handler(SessionError, self._answered)
        follow_flask_login(app)
        show_keys_first(app)
        app.cli.add_command(commands(Directory(backend), partial(_ping, backend)))
        # Where nobody said where to keep sessions, the log says what became of that, and is heard.
        level = logging.INFO if policy.store_from.startswith("UNSTICKY") else logging.WARNING
        _log.log(
            level, "sessions are kept by %s (%s)", backend.store.description, policy.store_from
        )

    @property
    def backend(self) -> Backend:
        """Settings, store and counters of the application at hand, for tests and tools.

        Raises:
            ConfigurationError: `init_app` was not called, or for several applications and none of
                them is at hand.
        """
        if has_app_context():
            interface = current_app.session_interface
            if isinstance(interface, Interface) and interface.backend in self._backends:
                return interface.backend
        backends = list(self._backends)
        if len(backends) != 1:
            message = (
                "this Unsticky serves several applications: use it within one's context"
                if backends
                else "no application yet: call init_app first"
            )
            raise ConfigurationError(message)
        return backends[0]

    @property
    def counters(self) -> Counters:
        """What this process has done since it started."""
        return self.backend.counters

    def close(self) -> None:
        """Close idle connections to the store; they are opened again when needed."""
        for backend in self._backends:
            backend.store.close()
            if backend.adoption is not None:
                backend.adoption.close()

    def no_retry(self, view: V) -> V:
        """Mark a view that has effects beyond the session, such as mail or a token redeemed.

        A GET that meets a conflict is otherwise run again from the start. Put it directly above the
        view, or anywhere among decorators that use `functools.wraps`.
        """
        setattr(view, NO_RETRY, True)
        return view

    def optional(self, view: V) -> V:
        """Mark a view that can live without the store.

        While the store cannot be reached its session is empty and read-only, and
        `session.available` is False. Put it directly above the view, or anywhere among decorators
        that use `functools.wraps`.
        """
        setattr(view, OPTIONAL, True)
        return view

    def of(self, user: str) -> tuple[SessionInfo, ...]:
        """Return the living sessions bound to `user`, oldest first; see `Session.bind`."""
        return self._directory().of(user)

    def revoke(self, handle: str) -> bool:
        """End the session of that handle; return whether it was alive."""
        return self._directory().revoke(handle)

    def revoke_all(
        self, user: str, *, keep: Session | None = None, stamp: int | None = None
    ) -> int:
        """End all sessions of `user` but `keep`; see `Directory.revoke_all`."""
        return self._directory().revoke_all(user, keep=keep, stamp=stamp)

    def revoke_everyone(self) -> int:
        """End every session there is; return how many. See `Directory.revoke_everyone`."""
        return sum(self._directory().revoke_everyone())

    def ping(self) -> None:
        """Write to the store as a request would.

        Raises:
            StoreUnavailable: sessions cannot be served now; the message says why.
        """
        _ping(self.backend)

    def _answered(self, error: SessionError) -> ResponseReturnValue:
        if error.status == 500:
            raise error
        if not isinstance(error, OutOfRange):
            # The answer says that nothing was changed, so that nothing is.
            held = session._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (werkzeug's documented way to the object behind a proxy)
            if isinstance(held, Session):
                withdraw(held._unit, error)  # noqa: SLF001 (the library's own)
        return self._on_error(error)

    def _directory(self) -> Directory:
        return Directory(self.backend, request_id(request) if has_request_context() else "")


def _ping(backend: Backend) -> None:
    try:
        backend.store.probe(Deadline(backend.policy.deadline))
    except OutcomeUnknown as error:
        raise StoreUnavailable(str(error)) from error
