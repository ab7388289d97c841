"""Liveness and readiness; neither touches a session."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from shop.current import current_shop

routes = Blueprint("health", __name__)


@routes.get("/livez")
def livez() -> Response:
    """Answer that this worker serves requests; whether the store does is not its matter."""
    return _ok()


@routes.get("/readyz")
def readyz() -> Response:
    """Answer that the store takes writes; a read-only one would still answer a ping.

    Where it does not, the session library's error becomes a 503 with the reason.
    """
    current_shop().sessions.ping()
    return _ok()


def _ok() -> Response:
    response = jsonify(status="ok")
    response.headers["Cache-Control"] = "no-store"
    return response
