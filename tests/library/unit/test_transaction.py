"""The decorator's own checks."""

import pytest
from flask import Flask
from unsticky import transaction


def test_retries_below_zero_are_refused() -> None:
    """The mistake shows where the view is defined."""
    with pytest.raises(ValueError, match="retries is -1"):
        transaction(retries=-1)


def test_without_the_library_it_says_so() -> None:
    """On Flask's own sessions the decorator cannot work, and raises instead of pretending."""
    app = Flask("site")
    app.testing = True
    app.secret_key = "x"

    @app.get("/")
    @transaction()
    def view() -> str:
        return ""

    with pytest.raises(TypeError, match="Unsticky"):
        app.test_client().get("/")


def test_the_view_keeps_its_name() -> None:
    """Flask derives the endpoint from it."""

    @transaction()
    def checkout() -> str:
        return ""

    assert checkout.__name__ == "checkout"
