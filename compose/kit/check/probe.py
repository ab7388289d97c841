"""Import an application in a process and write down what it is; `processes` starts this.

It runs by path with the Python of the application (3.9 or newer), which has Gunicorn:
``probe.py folder module:app result.json``.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import os
import re
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

_QUESTIONS = {
    "postgresql": "SHOW max_connections",
    "mysql": "SELECT @@max_connections",
    "mariadb": "SELECT @@max_connections",
}
_PATIENCE = 5
"""Seconds for the database server's answer."""


def _settings(app: Any, folder: str) -> dict[str, Any]:
    """Return the settings that matter: secrets hashed, paths relative to the folder."""
    config = getattr(app, "config", None)
    found: dict[str, Any] = {}
    for name, value in config.items() if isinstance(config, dict) else ():
        if re.search("SECRET|_SALT", name):
            found[name] = hashlib.sha256(repr(value).encode()).hexdigest() if value else None
        elif isinstance(value, str) and re.search("TYPE|DIR|FOLDER|PATH|DEST|ROOT", name):
            found[name] = value.replace(folder, ".")
    return found


def _classes(app: Any) -> dict[str, list[str]]:
    """Return by their settings which classes Flask-Caching, -Limiter and -SocketIO use."""
    found = getattr(app, "extensions", None)
    extensions = found if isinstance(found, dict) else {}
    limiters = extensions.get("limiter")
    server = getattr(extensions.get("socketio"), "server", None)
    used: dict[str, Any] = {
        "CACHE_TYPE": getattr(extensions.get("cache"), "values", tuple)(),
        "RATELIMIT_STORAGE_URI": [
            getattr(limiter, "_storage", None)
            for limiter in (limiters if isinstance(limiters, set) else [limiters])
        ],
        "message_queue": [getattr(server, "manager", None)],
    }
    return {
        name: [cls.__name__ for thing in things for cls in type(thing).__mro__ if thing is not None]
        for name, things in used.items()
    }


def _engines(app: Any) -> list[dict[str, Any]]:
    """Return each SQLAlchemy engine: its database, its pool's size, the server's limit."""
    if "sqlalchemy" not in sys.modules:
        return []
    engine_class = importlib.import_module("sqlalchemy.engine").Engine
    with suppress(Exception), app.app_context():
        # Flask-SQLAlchemy 2 makes its engine only now.
        _ = app.extensions["sqlalchemy"].db.engine
    found = []
    for engine in (each for each in gc.get_objects() if type(each) is engine_class):
        overflow = getattr(engine.pool, "_max_overflow", None)
        most = 1 if overflow is None else engine.pool.size() + max(overflow, 0)
        facts = {"database": engine.dialect.name, "most": most, "limit": None}
        # A host that does not answer must not keep this waiting.
        asking = threading.Thread(target=_ask_limit, args=(engine, facts), daemon=True)
        asking.start()
        asking.join(_PATIENCE)
        found.append(dict(facts))
    return found


def _ask_limit(engine: Any, facts: dict[str, Any]) -> None:
    with suppress(Exception):
        question = _QUESTIONS[facts["database"]]
        with engine.connect() as connection:
            facts["limit"] = int(connection.exec_driver_sql(question).scalar())


def _threads(folder: str) -> list[tuple[str, str, int]]:
    """Return what the threads run that the application or a scheduler started, and where."""
    found = []
    for thread in threading.enumerate():
        target = getattr(thread, "_target", None) or type(thread).run
        code: Any = getattr(target, "__code__", None)
        if code and code.co_filename.startswith(folder):
            path = os.path.relpath(code.co_filename, folder)
            found.append((f"{target.__qualname__}()", path, code.co_firstlineno))
        elif code and re.search(r"/(ap)?schedule", code.co_filename):
            found.append((f"{target.__qualname__}()", "", 0))
    return found


def main(folder: str, name: str, result: str) -> None:
    """Write what the application is to a file."""
    # As with Gunicorn: the folder in place of this file's.
    sys.path[0] = folder
    ran: set[tuple[str, int]] = set()

    def record(frame: FrameType, _event: str, _argument: object) -> None:
        if frame.f_code.co_filename.startswith(folder):
            ran.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))

    from gunicorn.util import import_app

    sys.setprofile(record)
    app = import_app(name)
    sys.setprofile(None)
    files = {str(getattr(module, "__file__", "")) for module in [*sys.modules.values()]}
    facts = {
        "files": [os.path.relpath(path, folder) for path in files if path.startswith(folder)],
        "ran": [(os.path.relpath(path, folder), line) for path, line in ran],
        "settings": _settings(app, folder),
        "classes": _classes(app),
        "threads": _threads(folder),
        "engines": _engines(app),
    }
    Path(result).write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    finally:
        # Of an application that does not import; the caller shows it.
        traceback.print_exc()
        # Threads that the application started do not end by themselves.
        os._exit(0)
