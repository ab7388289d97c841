"""`transact` and `@transaction`: their own checks, without a conflict."""

import pytest
from flask import Flask
from unsticky import transact, transaction


def test_retries_below_zero_are_refused() -> None:
    """The mistake shows where the view is defined, or the function called."""
    with pytest.raises(ValueError, match="retries is -1"):
        transaction(retries=-1)
    with pytest.raises(ValueError, match="retries is -1"):
        transact(int, retries=-1)


def test_without_the_library_it_says_so() -> None:
    """On Flask's own sessions, and outside of a request, a transaction raises."""
    app = Flask("site")
    app.secret_key = "x"
    with app.test_request_context(), pytest.raises(TypeError, match="Unsticky"):
        transact(int)
    with pytest.raises(TypeError, match="Unsticky"):
        transact(int)


def test_the_view_keeps_its_name() -> None:
    """Flask derives the endpoint from it."""

    @transaction()
    def checkout() -> str:
        return ""

    assert checkout.__name__ == "checkout"
