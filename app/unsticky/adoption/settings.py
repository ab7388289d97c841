"""The settings that begin with `UNSTICKY_ADOPT`, read once and validated."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, time, timedelta

from flask import Flask

from ..config import Config
from ..errors import ConfigurationError
from ..stores.client import Client
from ..stores.cluster import ClusterClient
from ..stores.urls import client_from_url, client_like
from . import Adoption
from .predecessors import FlaskCookie, FlaskSession

_log = logging.getLogger("unsticky")


def adoption_from_config(app: Flask, settings: Config) -> Adoption | None:
    """Return what adopts old sessions; None if there is nothing to adopt, or not any more.

    Raises:
        ConfigurationError: a value is missing, malformed or contradicts another.
    """
    config = app.config
    kind, until = config.get("UNSTICKY_ADOPT"), config.get("UNSTICKY_ADOPT_UNTIL")
    if not kind and not until:
        return None
    if kind not in {"flask-session", "flask-cookie"}:
        raise ConfigurationError(
            f"UNSTICKY_ADOPT is {kind!r}: use 'flask-session' or 'flask-cookie'"
        )
    if settings.peppers[1:]:
        raise ConfigurationError(
            "UNSTICKY_PEPPER_FALLBACKS and UNSTICKY_ADOPT cannot be used together: what was "
            "adopted under one pepper would be adopted again under the other"
        )
    end = _instant(until)
    field = config.get("UNSTICKY_ADOPT_USER_FIELD")
    adoption = Adoption(
        FlaskCookie(app) if kind == "flask-cookie" else _flask_session(app, settings),
        settings,
        cookie=str(config.get("UNSTICKY_ADOPT_COOKIE") or ""),
        until=end,
        user_field=str(field or "_user_id"),
        binds=bool(field or config.get("UNSTICKY_FLASK_LOGIN", True)),
    )
    if adoption.is_over():
        adoption.close()
        return None
    _log.info("sessions of %s are adopted until %s", kind, end.isoformat())
    return adoption


def _flask_session(app: Flask, settings: Config) -> FlaskSession:
    prefix = app.config.get("UNSTICKY_ADOPT_PREFIX")
    if prefix is None:
        prefix = "session:"
        if app.config.get("SESSION_KEY_PREFIX"):
            raise ConfigurationError(
                "UNSTICKY_ADOPT_PREFIX is not set, and SESSION_KEY_PREFIX may be the old one: set "
                "it to what Flask-Session's keys begin with ('session:' by default)"
            )
    client = _client(app, settings)
    if isinstance(client, ClusterClient):
        raise ConfigurationError(
            "UNSTICKY_ADOPT is 'flask-session', and its store is a cluster, whose sessions cannot "
            "be adopted: set SESSION_REDIS to the client of the server that Flask-Session used"
        )
    return FlaskSession(app, client, str(prefix))


def _client(app: Flask, settings: Config) -> Client:
    given = app.config.get("SESSION_REDIS")
    if given is not None:
        return client_like(given)
    if not settings.store.startswith(("memory:", "sqlite:", "mongodb")):
        return client_from_url(settings.store)
    raise ConfigurationError(
        "UNSTICKY_ADOPT is 'flask-session', but the store of Flask-Session is not known: "
        "set SESSION_REDIS to the client that Flask-Session used"
    )


def _instant(value: object) -> datetime:
    """Return when adopting ends: for a day at its end. Without a time zone it is UTC."""
    try:
        if isinstance(value, str):
            value = (
                date.fromisoformat(value)
                if len(value) <= len("2026-01-01")
                else datetime.fromisoformat(value)
            )
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=UTC)
        if isinstance(value, date):
            return datetime.combine(value, time(), UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        pass
    raise ConfigurationError(
        f"UNSTICKY_ADOPT_UNTIL is {value!r}: use a day, such as '2026-12-31'. Old cookies do not "
        "count after it; PERMANENT_SESSION_LIFETIME after the switch is enough"
    )
