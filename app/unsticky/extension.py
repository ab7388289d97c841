"""`Unsticky(app)`: reads the configuration, opens the store, and serves Flask's sessions."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from weakref import WeakSet

from flask import Flask, current_app, has_app_context, has_request_context, request
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response

from . import versions
from .adoption.settings import adoption_from_config
from .cli import commands
from .config import Config
from .errors import ConfigurationError, OutOfRange, SessionError, repeatable
from .flask_login import follow_flask_login
from .interface import Interface, withdraw
from .limits import MAX_FIELDS
from .problem import problem
from .request_facts import NO_RETRY, OPTIONAL, request_id
from .retry import RetryMiddleware
from .session import Session, current_session
from .signals import Announcer
from .state import Counters, ExtensionState
from .stores.base import Caps, Deadline, Store
from .stores.opening import open_store
from .templates import show_keys_first
from .user_sessions import SessionInfo, UserSessions

_log = logging.getLogger("unsticky")

_NAME = "unsticky"

V = TypeVar("V", bound=Callable[..., Any])


class Unsticky:
    """Server-side sessions for Flask applications.

    Args:
        app: the application; or call `init_app` later, also for several applications.
        store: where sessions are kept: any object that keeps the contract `stores.Store`. None for
            the store that the configuration names.
        on_error: makes the answer to a session error that a client can cause, also to one that is
            found only after the response was made; see `problem` for the default.

    Raises:
        ConfigurationError: a setting is missing, malformed or contradicts another.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        store: Store | None = None,
        on_error: Callable[[SessionError], Response] = problem,
    ) -> None:
        self._store = store
        self._on_error = on_error
        self._states: WeakSet[ExtensionState] = WeakSet()
        self._newest: ExtensionState | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read `app.config` and serve the application's sessions from now on.

        Raises:
            ConfigurationError: see the class.
        """
        versions.check()
        if _NAME in app.extensions:
            raise ConfigurationError(
                "Unsticky serves this application already: call init_app once for each application"
            )
        given = os.environ.get("SECRET_KEY_FALLBACKS", "")
        # A key on its line may have spaces: its words alone would be keys that one can guess.
        keys = given.splitlines() if "\n" in given else given.split()
        earlier = [key.strip() for key in keys if key.strip()]
        if earlier and app.config.get("SECRET_KEY_FALLBACKS") is None:
            app.config["SECRET_KEY_FALLBACKS"] = earlier
        config = Config.parse(app.config)
        store = self._store
        if store is not None and config.wait is not None:
            raise ConfigurationError(
                "UNSTICKY_WAIT is set and Unsticky was given a store: give it to that store, "
                "as in RedisStore(…, wait=Wait(1, 100))"
            )
        if store is None:
            caps = Caps(MAX_FIELDS, config.max_bytes)
            client = app.config.get("SESSION_REDIS")
            store = open_store(config.store, client, config.prefix, caps, config.wait)
        adoption = adoption_from_config(app, config)
        state = ExtensionState(app, config, store, Announcer(app), adoption)
        # A wrong setting is refused now. What changes later is read when it is needed.
        _ = state.lifetimes, state.cookie
        _refuse_users(state)
        if app.secret_key:
            _ = state.ring
        # A factory may be called for each test, so only the newest application is kept alive.
        self._states.add(state)
        self._newest = state
        app.extensions[_NAME] = self
        app.session_interface = Interface(state, self._on_error)
        app.wsgi_app = RetryMiddleware(app.wsgi_app)  # type: ignore[method-assign]  # Flask's documented way to add middleware
        if SessionError not in app.error_handler_spec[None][None]:
            app.register_error_handler(SessionError, self._answered)
        follow_flask_login(app)
        show_keys_first(app)
        app.cli.add_command(commands(UserSessions(state), partial(_ping, state)))
        self._log_store(state)
        for name in sorted(os.environ):
            if name.startswith("UNSTICKY_") and name != "UNSTICKY_STORE" and name not in app.config:
                _log.warning("%s in the environment is not read: set it in app.config", name)

    @property
    def state(self) -> ExtensionState:
        """Settings, store and counters of the current application, for tests and tools.

        Raises:
            ConfigurationError: `init_app` was not called, or it was called for several applications
                and none of them is the current one.
        """
        if has_app_context():
            interface = current_app.session_interface
            if isinstance(interface, Interface) and interface.extension in self._states:
                return interface.extension
        states = list(self._states)
        if len(states) != 1:
            raise ConfigurationError(
                "this Unsticky serves several applications: use it in an application context"
                if states
                else "this Unsticky serves no application yet: call init_app first"
            )
        return states[0]

    @property
    def counters(self) -> Counters:
        """What this process has done since it started."""
        return self.state.counters

    def close(self) -> None:
        """Close idle connections to the store; they are opened again when needed."""
        for state in self._states:
            state.store.close()
            if state.adoption is not None:
                state.adoption.close()

    def no_retry(self, view: V) -> V:
        """Mark a view that has effects beyond the session, such as sending mail.

        Without the mark, a GET that conflicts runs again from the start. Put it directly above the
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
        return self._user_sessions().of(user)

    def revoke(self, handle: str) -> bool:
        """End the session with that handle; return whether it was alive."""
        return self._user_sessions().revoke(handle)

    def revoke_all(
        self, user: str, *, keep: Session | None = None, stamp: int | None = None
    ) -> int:
        """End all sessions of `user` but `keep`; see `UserSessions.revoke_all`."""
        return self._user_sessions().revoke_all(user, keep=keep, stamp=stamp)

    def revoke_everyone(self) -> int:
        """End all sessions of all users; return how many. See `UserSessions.revoke_everyone`."""
        return sum(self._user_sessions().revoke_everyone())

    def ping(self) -> None:
        """Write to the store as a request would.

        Raises:
            StoreUnavailable: sessions cannot be served now; the message says why.
        """
        _ping(self.state)

    def _answered(self, error: SessionError) -> ResponseReturnValue:
        if error.status == 500:
            raise error
        if not isinstance(error, OutOfRange):
            # The answer says that nothing was changed, so nothing must be.
            held = current_session()
            if held is not None:
                withdraw(held._unit, error)  # noqa: SLF001 (the library's own)
        return self._on_error(error)

    def _user_sessions(self) -> UserSessions:
        return UserSessions(self.state, request_id(request) if has_request_context() else "")

    def _log_store(self, state: ExtensionState) -> None:
        """Log where sessions are kept; as a warning, which is shown, if nobody chose it."""
        source = state.config.store_from
        if self._store is not None:
            if source.startswith("UNSTICKY"):
                _log.warning("%s is not used: Unsticky(store=…) was given a store", source)
            source = "Unsticky(store=…)"
        chosen = self._store is not None or source.startswith("UNSTICKY")
        level = logging.INFO if chosen else logging.WARNING
        _log.log(level, "sessions are kept by %s (%s)", state.store.description, source)


def _refuse_users(state: ExtensionState) -> None:
    """Refuse settings that bind sessions to users, if the store cannot; see `Store`."""
    config = state.app.config
    for setting in ("UNSTICKY_MAX_SESSIONS_PER_USER", "UNSTICKY_ADOPT"):
        if config.get(setting):
            state.need_users(setting)
    if hasattr(state.app, "login_manager") and config.get("UNSTICKY_FLASK_LOGIN", True):
        state.need_users("Flask-Login (if UNSTICKY_FLASK_LOGIN is not False)")


def _ping(state: ExtensionState) -> None:
    with repeatable():
        state.store.probe(Deadline(state.config.deadline))
