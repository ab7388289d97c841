"""A store, an application on it, and the same application on several workers."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.support.checkout import ROOT

from .browser import Browser, to_app, to_socket
from .target import create_app
from .valkey import Valkey

_ROOT = ROOT
_numbers = itertools.count()

NewApp = Callable[..., Flask]


@pytest.fixture(name="own_valkey")
def _own_valkey() -> Iterator[Valkey]:
    """A store that one test may break."""
    server = Valkey()
    server.start()
    yield server
    server.dispose()


@pytest.fixture(name="new_app", scope="session")
def _new_app() -> Iterator[NewApp]:
    """Make applications with a secret and a prefix of their own, and other settings as given."""
    made: list[Flask] = []

    def make(store: str, **config: Any) -> Flask:
        given = {
            "SECRET_KEY": "a secret that only the tests know",
            "UNSTICKY_STORE": store,
            "SESSION_KEY_PREFIX": f"t{next(_numbers)}:",
            "TESTING": True,
        }
        made.append(create_app(given | config))
        return made[-1]

    yield make
    for app in made:
        app.extensions["unsticky"].state.store.close()


class Workers:
    """The application on four processes of a real server.

    Attributes:
        socket: where it listens.
        log: everything that server and application wrote, at the finest level.
        prefix: of its keys in the store.
    """

    def __init__(self, valkey: Valkey, folder: Path, **config: Any) -> None:
        self.log = folder / "log"
        self.audit = folder / "audit"
        self.prefix = "workers:"
        self.socket = valkey.folder / "app"
        settings = {
            "SECRET_KEY": "a secret that only the tests know",
            "UNSTICKY_STORE": valkey.url,
            "SESSION_KEY_PREFIX": self.prefix,
            **config,
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn"),
                    "tests.library.security.target:create_app()",
                    *("--bind", f"unix:{self.socket}", "--workers", "4"),
                    *("--config", str(_ROOT / "app/gunicorn.conf.py")),
                    *("--pythonpath", f"{_ROOT / 'app'},{_ROOT}", "--log-level", "debug"),
                ],
                cwd=folder,
                env=os.environ
                | {f"FLASK_{name}": json.dumps(value) for name, value in settings.items()}
                | {
                    "PYTHONPATH": f"{_ROOT / 'app'}:{_ROOT}",
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "TARGET_LOG": str(self.audit),
                },
                stdout=log,
                stderr=log,
            )

    def browser(self) -> Browser:
        """Return a browser without cookies."""
        return Browser(to_socket(self.socket))

    def await_all(self) -> None:
        """Wait until each of the four workers has answered."""
        seen: set[int] = set()
        deadline = time.monotonic() + 20
        while len(seen) < 4:
            assert time.monotonic() < deadline, self.log.read_text()
            try:
                seen.add(self.browser().get("/me").json()["pid"])
            except OSError:
                time.sleep(0.02)

    def dispose(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture(name="workers", scope="session")
def _workers(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Four workers; a user may have three sessions there."""
    workers = Workers(valkey, tmp_path_factory.mktemp("workers"), UNSTICKY_MAX_SESSIONS_PER_USER=3)
    try:
        workers.await_all()
        yield workers
    finally:
        workers.dispose()


@pytest.fixture(name="browse", scope="session")
def _browse() -> Callable[[Flask], Browser]:
    """Make browsers of an application in this process."""
    return lambda app: Browser(to_app(app), app.config["SESSION_COOKIE_NAME"])
