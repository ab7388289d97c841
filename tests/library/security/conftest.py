"""A store, an application on it, and the same application on several workers."""

import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.support.stacks.gunicorn import Gunicorn
from tests.support.waiting import PATIENCE, wait_until

from .browser import Browser
from .target import create_app
from .valkey import Valkey

_numbers = itertools.count()
_WORKERS = 4

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
            # Time is not the point, but where a test sets it.
            "UNSTICKY_DEADLINE": PATIENCE,
            "TESTING": True,
        }
        made.append(create_app(given | config))
        return made[-1]

    yield make
    for app in made:
        app.extensions["unsticky"].state.store.close()


class Workers(Gunicorn):
    """The application on four processes of a real server.

    Attributes:
        audit: the application's own log.
        prefix: of its keys in the store.
    """

    def __init__(self, valkey: Valkey, folder: Path, **config: Any) -> None:
        self.audit = folder / "audit"
        self.prefix = "workers:"
        settings = {
            "SECRET_KEY": "a secret that only the tests know",
            "UNSTICKY_STORE": valkey.url,
            "SESSION_KEY_PREFIX": self.prefix,
            "UNSTICKY_DEADLINE": PATIENCE,
            **config,
        }
        super().__init__(
            folder,
            "tests.library.security.target:create_app()",
            *("--log-level", "debug"),
            WORKERS=str(_WORKERS),
            TARGET_LOG=str(self.audit),
            **{f"FLASK_{name}": json.dumps(value) for name, value in settings.items()},
        )

    def browser(self) -> Browser:
        """Return a browser without cookies."""
        return Browser(self.socket)


@pytest.fixture(name="workers", scope="session")
def _workers(valkey: Valkey) -> Iterator[Workers]:
    """Four workers; a user may have three sessions there."""
    with tempfile.TemporaryDirectory(prefix="w-") as folder:
        workers = Workers(valkey, Path(folder), UNSTICKY_MAX_SESSIONS_PER_USER=3)
        try:
            workers.start("/me")
            seen: set[int] = set()

            def all_answered() -> bool:
                seen.add(workers.browser().get("/me").json()["pid"])
                return len(seen) == _WORKERS

            wait_until(all_answered, "an answer of each worker")
            yield workers
        finally:
            workers.stop()


@pytest.fixture(name="browse", scope="session")
def _browse() -> Callable[[Flask], Browser]:
    """Make browsers of an application in this process."""
    return lambda app: Browser(app, app.config["SESSION_COOKIE_NAME"])
