"""`Unsticky(app)`: configuration is read, the store opened, Flask's sessions replaced."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from flask import Flask, has_request_context, request
from werkzeug.wrappers import Response

from .backend import Backend, Counters
from .cli import commands
from .cookie import KeyRing
from .directory import Directory, SessionInfo
from .errors import ConfigurationError, OutcomeUnknown, SessionError, StoreUnavailable
from .events import Announcer
from .interface import OPTIONAL, Interface, request_id
from .login import follow_flask_login
from .policy import MAX_FIELDS, Policy
from .problem import problem
from .rerun import Rerunner
from .session import Session
from .stores.connections import Caller, PooledCaller, pooled
from .stores.contract import Budget, Caps, Store
from .stores.memory import MemoryStore
from .stores.redis import RedisStore

_log = logging.getLogger("unsticky")

V = TypeVar("V", bound=Callable[..., Any])


class Unsticky:
    """Server-side sessions for a Flask application.

    Args:
        app: the application; or call `init_app` later. One instance serves one application.
        on_error: makes the answer to a session error, also to one that is found only when the
            response was made already; a problem document (RFC 9457) by default.

    Raises:
        ConfigurationError: a setting is missing, malformed or contradicts another.
    """

    def __init__(
        self, app: Flask | None = None, *, on_error: Callable[[SessionError], Response] = problem
    ) -> None:
        self._on_error = on_error
        self._backend: Backend | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Read `app.config` and serve the application's sessions from now on.

        Raises:
            ConfigurationError: see the class.
        """
        if self._backend is not None:
            message = "this Unsticky serves an application already: make one for each"
            raise ConfigurationError(message)
        policy = Policy.from_config(app.config)
        store = _opened(policy, app.config.get("SESSION_REDIS"))
        self._backend = Backend(
            policy=policy,
            ring=KeyRing(policy.secrets, policy.pepper),
            store=store,
            counters=Counters(),
            emit=Announcer(app),
        )
        app.session_interface = Interface(self._backend, self._on_error)
        app.wsgi_app = Rerunner(app.wsgi_app)  # type: ignore[method-assign]  # Flask's documented way to add middleware
        handlers = app.error_handler_spec[None][None]
        if SessionError not in handlers:
            app.register_error_handler(SessionError, self._on_error)
        follow_flask_login(app)
        app.cli.add_command(commands(Directory(self._backend), self.ping))
        app.extensions["unsticky"] = self
        _log.info("sessions are kept by %s", _described(policy))

    @property
    def backend(self) -> Backend:
        """Policy, store and counters, for tests and tools.

        Raises:
            ConfigurationError: `init_app` was not called.
        """
        if self._backend is None:
            message = "no application yet: call init_app first"
            raise ConfigurationError(message)
        return self._backend

    @property
    def counters(self) -> Counters:
        """What this process has done since it started."""
        return self.backend.counters

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
        try:
            self.backend.store.probe(Budget(self.backend.policy.deadline))
        except OutcomeUnknown as error:
            raise StoreUnavailable(str(error)) from error

    def _directory(self) -> Directory:
        return Directory(self.backend, request_id(request) if has_request_context() else "")


def _opened(policy: Policy, client: Any) -> Store:
    caps = Caps(fields=MAX_FIELDS, octets=policy.max_bytes)
    scheme = policy.store.partition(":")[0]
    if scheme == "memory":
        return MemoryStore(policy.lifetimes, caps)
    if policy.store == "client":
        caller: Caller = PooledCaller(_pool_of(client))
    elif scheme in {"redis", "rediss", "unix"}:
        caller = pooled(policy.store)
    else:
        message = (
            f"UNSTICKY_STORE begins with {scheme!r}: use memory://, redis://, rediss:// or unix://"
        )
        raise ConfigurationError(message)
    return RedisStore(caller, policy.prefix, policy.lifetimes, caps)


def _pool_of(client: Any) -> redis.ConnectionPool:
    if type(client) is not redis.Redis:
        message = (
            f"SESSION_REDIS is a {type(client).__qualname__}: it takes a redis.Redis for one server"
        )
        raise ConfigurationError(message)
    pool = client.connection_pool
    assert isinstance(pool, redis.ConnectionPool)  # noqa: S101 (what a redis.Redis has)
    return pool


def _described(policy: Policy) -> str:
    scheme, separator, rest = policy.store.partition("://")
    return scheme + separator + rest.rpartition("@")[2]
