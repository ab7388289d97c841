"""A user's own application, which keeps notes in the session. Tests copy it beside the shop."""

import os
import time
import uuid
from typing import Any

from flask import Flask, request
from flask import session as proxy
from unsticky import Unsticky

session: Any = proxy


def create_app(*, is_forgetful: bool = False) -> Flask:
    """Return the application: every note is a separate entry.

    A forgetful one writes the whole list back, and overwrites other requests' notes.
    """
    app = Flask("notes")
    app.config.update(
        SECRET_KEY=os.environ["SECRET_KEY"],
        REDIS_URL=os.environ["REDIS_URL"],
        UNSTICKY_DEADLINE=float(os.environ.get("UNSTICKY_DEADLINE", "1")),
        UNSTICKY_CONFLICT="overwrite" if is_forgetful else "conflict",
    )
    Unsticky(app)

    @app.post("/notes")
    def post() -> tuple[dict[str, Any], int]:
        text = request.get_json()["text"]
        if is_forgetful:
            notes = [*session.get("notes", []), text]
            time.sleep(0.005)
            session["notes"] = notes
        else:
            session.map("notes")[uuid.uuid4()] = text
        return {}, 201

    @app.get("/notes")
    def get() -> list[str]:
        return session.get("notes", []) if is_forgetful else list(session.map("notes").values())

    return app
