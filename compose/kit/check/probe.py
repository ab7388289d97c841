"""Import an application in a process and write down what it is there; `processes` starts it.

It is run by path with the Python of the application (3.9 or newer), and needs nothing else:
``probe.py folder module:app result.json``.
"""

from __future__ import annotations

import ast
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

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class _Recorder:
    """Records which functions of a folder run, and which files they open for writing."""

    def __init__(self, folder: str) -> None:
        self._prefix = folder + os.sep
        self.ran: set[tuple[str, int]] = set()
        self.written: dict[str, tuple[str, int]] = {}

    def relative(self, path: object) -> str | None:
        """Return the path of a file of the folder; None for other files."""
        found = os.path.realpath(os.fsdecode(path)) if isinstance(path, (str, bytes)) else ""
        return found[len(self._prefix) :] if found.startswith(self._prefix) else None

    def profile(self, frame: FrameType, event: str, _argument: object) -> None:
        """Called by Python for each function."""
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(self._prefix):
            self.ran.add((code.co_filename[len(self._prefix) :], code.co_firstlineno))

    def audit(self, event: str, arguments: Any) -> None:
        """Called by Python for each open file, among others."""
        if event != "open" or not arguments[2] & _WRITES:
            return
        name = self.relative(arguments[0])
        if name and not name.startswith("instance" + os.sep) and name not in self.written:
            self.written[name] = self._caller()

    def _caller(self) -> tuple[str, int]:
        frame: FrameType | None = sys._getframe()  # noqa: SLF001  # there is no public way
        while frame and not frame.f_code.co_filename.startswith(self._prefix):
            frame = frame.f_back
        return (self.relative(frame.f_code.co_filename) or "", frame.f_lineno) if frame else ("", 0)


def _application(name: str) -> Any:
    """Return ``module:object`` or ``module:factory(literals)``, as Gunicorn does."""
    module, _, expression = name.partition(":")
    node = ast.parse(expression or "application", mode="eval").body
    call = node if isinstance(node, ast.Call) else None
    found = importlib.import_module(module)
    for part in ast.unparse(call.func if call else node).split("."):
        found = getattr(found, part)
    if call is None:
        return found
    keywords = {each.arg: ast.literal_eval(each.value) for each in call.keywords if each.arg}
    return found(*map(ast.literal_eval, call.args), **keywords)


def _settings(app: Any, folder: str) -> dict[str, Any]:
    """Return the settings that are words: secrets hashed, paths relative to the folder."""
    config = getattr(app, "config", None)
    if not isinstance(config, dict):
        return {}
    found = {}
    for name, value in config.items():
        if "SECRET" in name or name.endswith("_SALT"):
            found[name] = hashlib.sha256(repr(value).encode()).hexdigest() if value else None
        elif isinstance(value, str) and re.search("TYPE|DIR|FOLDER|PATH|DEST|ROOT", name):
            found[name] = value.replace(folder, ".")
    return found


def _extensions(app: Any) -> dict[str, list[str]]:
    """Return the names of the classes that caches, limits and Socket.IO use."""
    found = getattr(app, "extensions", {})
    caches = found.get("cache", {})
    limiters = found.get("limiter", ())
    managers = [socket.server.manager for socket in [found.get("socketio")] if socket and socket.server]
    return {
        "CACHE_TYPE": _classes(caches.values() if isinstance(caches, dict) else ()),
        "RATELIMIT_STORAGE_URI": _classes(
            getattr(limiter, "_storage", None)
            for limiter in (limiters if isinstance(limiters, set) else [limiters])
        ),
        "message_queue": _classes(managers),
    }


def _classes(things: Any) -> list[str]:
    return [cls.__name__ for thing in things if thing is not None for cls in type(thing).__mro__[:-1]]


def _engines(app: Any) -> list[dict[str, Any]]:
    """Return the database's kind, the pool and the server's limit of each SQLAlchemy engine."""
    if "sqlalchemy" not in sys.modules:
        return []
    from sqlalchemy.engine import Engine

    with suppress(Exception), app.app_context():
        # Flask-SQLAlchemy 2 makes its engine when it is first needed.
        _ = app.extensions["sqlalchemy"].db.engine
    found = []
    for engine in (each for each in gc.get_objects() if type(each) is Engine):
        size, overflow = getattr(engine.pool, "size", None), getattr(engine.pool, "_max_overflow", 0)
        question = {"postgresql": "SHOW max_connections", "mysql": "SELECT @@max_connections"}
        limit = None
        with suppress(Exception), engine.connect() as connection:
            limit = int(connection.exec_driver_sql(question[engine.dialect.name]).scalar())
        most = size() + max(overflow, 0) if size else 1
        found.append({"database": engine.dialect.name, "most": most, "limit": limit})
    return found


def _threads(recorder: _Recorder) -> list[tuple[str, str, int]]:
    """Return what the threads run that the application or a scheduler has started, and where."""
    found = []
    for thread in threading.enumerate():
        target = getattr(thread, "_target", None) or type(thread).run
        function = getattr(target, "__func__", target)
        code = getattr(function, "__code__", None)
        path = recorder.relative(getattr(code, "co_filename", None))
        if path or str(getattr(function, "__module__", "")).startswith(("apscheduler", "schedule")):
            line = code.co_firstlineno if code else 0
            found.append((getattr(function, "__qualname__", thread.name), path or "", line))
    return found


def main(folder: str, name: str, result: str) -> None:
    """Write what the application is to a file."""
    # As with Gunicorn: the folder in place of this file's.
    sys.path[0] = folder
    recorder = _Recorder(folder)
    sys.addaudithook(recorder.audit)
    sys.setprofile(recorder.profile)
    try:
        app = _application(name)
    finally:
        sys.setprofile(None)
    files = (recorder.relative(getattr(each, "__file__", None)) for each in [*sys.modules.values()])
    facts = {
        "files": sorted({file for file in files if file}),
        "ran": sorted(recorder.ran),
        "written": [(path, *caller) for path, caller in recorder.written.items()],
        "settings": _settings(app, folder),
        "extensions": _extensions(app),
        "engines": _engines(app),
        "threads": _threads(recorder),
    }
    Path(result).write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    status = 1
    try:
        main(*sys.argv[1:])
        status = 0
    except BaseException:  # noqa: BLE001  # told, whatever it is
        traceback.print_exc()
    sys.stdout.flush()
    # Threads that the application started do not end by themselves.
    os._exit(status)
