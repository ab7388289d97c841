"""The library works where its folder was copied into another package, under another name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.library.security.valkey import Valkey
from tests.support.checkout import ROOT

_PROGRAM = """
import importlib.util, sys, threading
from http.cookiejar import CookieJar
from urllib.request import HTTPCookieProcessor, build_opener
from flask import Flask
from werkzeug.serving import make_server
from myapp.vendor.sessions import Unsticky, session, transact
from myapp.vendor.sessions.stores import Store

assert importlib.util.find_spec("unsticky") is None
app = Flask("myapp")
app.config.update(SECRET_KEY="a key", UNSTICKY_STORE=sys.argv[1], SESSION_KEY_PREFIX="vendored:")
Unsticky(app)

@app.get("/visit")
def visit():
    def twice():
        session["twice"] = session.get("twice", 0) + 2
        return session["twice"]

    return f"{session.incr('visits')} {transact(twice)} {session.map('cart').incr('tea')}"

@app.get("/leave")
def leave():
    session.bind("ann")
    session.unbind("twice")
    return ",".join(session)

server = make_server("127.0.0.1", 0, app)
threading.Thread(target=server.serve_forever, daemon=True).start()
browser = build_opener(HTTPCookieProcessor(CookieJar()))
for path in ("visit", "visit", "leave", "visit"):
    print(browser.open(f"http://127.0.0.1:{server.port}/{path}").read().decode())
server.shutdown()
assert not any(name.split(".")[0] == "unsticky" for name in sys.modules)
"""


def test_a_vendored_copy_serves_sessions(valkey: Valkey, tmp_path: Path) -> None:
    """As `myapp.vendor.sessions`, without a module `unsticky`, on memory and on a server."""
    vendor = tmp_path / "myapp" / "vendor"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "app" / "unsticky", vendor / "sessions", ignore=ignored)
    for package in (vendor, vendor.parent):
        (package / "__init__.py").touch()
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    for store in ("memory://", valkey.url):
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, store],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == ["1 2 1", "2 4 2", "visits", "3 2 3"]
