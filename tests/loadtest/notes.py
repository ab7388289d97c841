"""A user's own application, which keeps notes in the session. Tests copy it beside the shop."""

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, request, session
from flask.typing import ResponseReturnValue
from unsticky import Unsticky


def create_app() -> Flask:
    """Return the application: every note is a separate entry."""

    def add(text: str) -> None:
        _session().map("notes")[uuid.uuid4()] = text

    return _app(add, lambda: list(_session().map("notes").values()))


def create_forgetful_app() -> Flask:
    """Return one that writes the whole list back, and overwrites other requests' notes."""

    def add(text: str) -> None:
        notes = [*session.get("notes", []), text]
        time.sleep(0.005)
        session["notes"] = notes

    return _app(add, lambda: session.get("notes", []), UNSTICKY_CONFLICT="overwrite")


def _app(add: Callable[[str], None], notes: Callable[[], list[str]], **config: str) -> Flask:
    app = Flask("notes")
    app.config.update(
        SECRET_KEY=Path(os.environ["SECRET_KEY_FILE"]).read_text(encoding="ascii"),
        REDIS_URL=os.environ["REDIS_URL"],
        **config,
    )
    Unsticky(app)

    @app.post("/notes")
    def post() -> ResponseReturnValue:
        add(request.get_json()["text"])
        return {}, 201

    @app.get("/notes")
    def get() -> list[str]:
        return notes()

    return app


def _session() -> Any:
    return session
