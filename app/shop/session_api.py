"""The calls that show a session to its owner, and a user all of theirs."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from shop import accounts
from shop.current import current_session, current_shop
from shop.headers import served_by
from shop.logs import rfc3339

routes = Blueprint("session_api", __name__, url_prefix="/api")


@routes.get("/session")
def show() -> Response:
    """Show the session and count this call in it; the one GET that creates a session."""
    session = current_session()
    hits = session.incr("hits")
    return jsonify(
        handle=session.handle,
        created=session.created and rfc3339(session.created),
        hits=hits,
        user=accounts.current_user(),
        served_by=served_by(current_shop().settings),
    )


@routes.get("/sessions")
def list_all() -> Response:
    """List the user's sessions, the oldest first."""
    return jsonify(
        [
            {
                "handle": device.handle,
                "created": rfc3339(device.created),
                "last_seen": rfc3339(device.last_seen),
                "label": device.label,
                "current": device.current,
            }
            for device in accounts.devices()
        ]
    )


@routes.delete("/sessions")
def end_others() -> Response:
    """End all of the user's sessions but this one."""
    accounts.end_other_devices()
    return Response(status=204)


@routes.delete("/sessions/<handle>")
def end(handle: str) -> Response:
    """End one of the user's sessions."""
    accounts.end_device(handle)
    return Response(status=204)
