"""The application under attack: as small as one can be that logs users in and out."""

import logging
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from unsticky import Unsticky, session

_PATIENCE = 20.0


def create_app(config: dict[str, Any] | None = None) -> Flask:
    """Return the application; without `config` it reads `FLASK_*` from the environment."""
    app = Flask(__name__)
    app.config.from_prefixed_env()
    app.config.update(config or {})
    sessions = Unsticky(app)
    _add_reading(app, sessions)
    _add_changing(app)
    _add_privilege(app, sessions)
    if "TARGET_LOG" in os.environ:
        logging.basicConfig(filename=os.environ["TARGET_LOG"], level=logging.DEBUG)
    return app


def pass_gate(name: str | None) -> None:
    """Say that the request arrived here, and wait until the test lets it go on.

    Args:
        name: a file; `<name>.reached` is made, `<name>.open` is waited for. None for no gate.
    """
    if name is None:
        return
    Path(f"{name}.reached").touch()
    deadline = time.monotonic() + _PATIENCE
    while not Path(f"{name}.open").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.002)


def _add_reading(app: Flask, sessions: Unsticky) -> None:
    @app.get("/untouched")
    def untouched() -> ResponseReturnValue:
        return "the same for everyone"

    @app.get("/me")
    def me() -> ResponseReturnValue:
        user = session.get("user")
        pass_gate(request.args.get("gate"))
        return jsonify(user=user, handle=session.handle, pid=os.getpid(), data=dict(session))

    @app.get("/cart")
    def cart() -> ResponseReturnValue:
        return jsonify([str(item) for item in session.map("cart")])

    @app.get("/optional")
    @sessions.optional
    def optional() -> ResponseReturnValue:
        return jsonify(available=session.available, user=session.get("user"))


def _add_changing(app: Flask) -> None:
    @app.post("/set")
    def set_() -> ResponseReturnValue:
        values: dict[str, Any] = request.get_json()
        gate = values.pop("gate", None)
        if gate is not None:
            session.get("user")
        pass_gate(gate)
        session.permanent = values.pop("permanent", session.permanent)
        session.update(values)
        return jsonify(handle=session.handle)

    @app.post("/add")
    def add() -> ResponseReturnValue:
        return jsonify(count=session.map("cart").incr("tea"))

    @app.post("/many")
    def many() -> ResponseReturnValue:
        return jsonify([session.incr("many") for _ in range(20)])

    @app.post("/rotate")
    def rotate() -> ResponseReturnValue:
        session.rotate()
        return jsonify(handle=session.handle)


def _add_privilege(app: Flask, sessions: Unsticky) -> None:
    @app.post("/login")
    def login() -> ResponseReturnValue:
        values: dict[str, Any] = request.get_json()
        pass_gate(values.get("before"))
        session.bind(values["user"], stamp=values.get("stamp"), label=values.get("label", ""))
        session["user"] = values["user"]
        pass_gate(values.get("after"))
        return jsonify(handle=session.handle)

    @app.post("/transfer")
    def transfer() -> ResponseReturnValue:
        bound = session.created
        fresh = timedelta(seconds=app.config.get("FRESH_SECONDS", 600))
        if bound is None or "user" not in session or datetime.now(UTC) - bound > fresh:
            return jsonify(challenge="log in again"), 401
        return jsonify(done=True)

    @app.post("/logout")
    def logout() -> ResponseReturnValue:
        session.destroy()
        return "", 204

    @app.get("/sessions")
    def listed() -> ResponseReturnValue:
        return jsonify([info.handle for info in sessions.of(session["user"])])

    @app.post("/revoke")
    def revoke() -> ResponseReturnValue:
        return jsonify(sessions.revoke(request.get_json()["handle"]))

    @app.post("/revoke-others")
    def revoke_others() -> ResponseReturnValue:
        stamp = request.get_json().get("stamp")
        return jsonify(sessions.revoke_all(session["user"], keep=session, stamp=stamp))
