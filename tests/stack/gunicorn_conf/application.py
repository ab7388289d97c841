"""A small application whose requests last as long as a test wants."""

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from wsgiref.types import StartResponse, WSGIEnvironment

# So that a test that fails does not leave a worker waiting (seconds).
_LONGEST_HOLD = 20.0

# As an application that configures itself when it is imported.
_IMPORTED = dict(os.environ)


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with this worker's pid.

    ``/hold/NAME`` first makes the file NAME.held in the folder HOLDS and waits
    until NAME.go is there; ``/body`` answers with the request's body, ``/environ/NAME``
    with that value of the WSGI environment, ``/imported/NAME`` with the environment variable
    of that name as it was when this module was imported; ``/fail`` fails; ``/exit/STATUS``
    ends the worker; ``/loaded/MODULE`` tells whether a module is loaded.
    """
    path = str(environ["PATH_INFO"])
    body = str(os.getpid()).encode()
    if path.startswith("/hold/"):
        hold(path.rpartition("/")[2])
    elif path == "/body":
        body = environ["wsgi.input"].read()
    elif path.startswith("/environ/"):
        body = str(environ.get(path.rpartition("/")[2])).encode()
    elif path.startswith("/imported/"):
        body = _IMPORTED.get(path.rpartition("/")[2], "").encode()
    elif path.startswith("/loaded/"):
        body = str(path.rpartition("/")[2] in sys.modules).encode()
    elif path.startswith("/exit/"):
        os._exit(int(path.rpartition("/")[2]))
    elif path == "/fail":
        raise RuntimeError("as asked")
    request_id = str(environ.get("HTTP_X_REQUEST_ID", ""))
    start_response("200 OK", [("Content-Length", str(len(body))), ("X-Request-ID", request_id)])
    return [body]


def hold(name: str) -> None:
    """Make NAME.held, and wait until NAME.go is there."""
    folder = Path(os.environ["HOLDS"])
    (folder / f"{name}.held").touch()
    end = time.monotonic() + _LONGEST_HOLD
    while not (folder / f"{name}.go").exists() and time.monotonic() < end:
        time.sleep(0.005)
