"""Applications written for plain Flask, which know nothing of this library."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from unsticky import Unsticky

from tests.support.waiting import PATIENCE

_numbers = itertools.count()

NewApp = Callable[..., Flask]


@pytest.fixture(name="new_app")
def _new_app() -> Iterator[NewApp]:
    """Make applications that are Flask's, with `Unsticky(app)` and nothing else."""
    made: list[Unsticky] = []

    def make(store: str, **config: Any) -> Flask:
        app = Flask(__name__)
        app.config.update(
            {
                "SECRET_KEY": "a secret that only the tests know",
                "UNSTICKY_STORE": store,
                "SESSION_KEY_PREFIX": f"d{next(_numbers)}:",
                "TESTING": True,
                "UNSTICKY_DEADLINE": PATIENCE,
            }
            | config
        )
        made.append(Unsticky(app))
        return app

    yield make
    for sessions in made:
        sessions.state.store.close()
