"""The call that shows a session to its owner."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from shop.current import current_session, current_shop
from shop.headers import served_by
from shop.logs import rfc3339

routes = Blueprint("session_api", __name__)


@routes.get("/api/session")
def show() -> Response:
    """Show the session and count this call in it; the one GET that creates a session."""
    session = current_session()
    hits = session.incr("hits")
    return jsonify(
        handle=session.handle,
        created=session.created and rfc3339(session.created),
        hits=hits,
        user=None,
        served_by=served_by(current_shop().settings),
    )
