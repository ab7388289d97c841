"""Errors: those of the shop itself, and their pages."""

import json
import logging

import pytest
from flask import Flask, abort
from unsticky import Conflict, OutcomeUnknown, SessionError, SessionGone, StoreUnavailable

from tests.shop.expect import assert_problem
from tests.support.shop.client import ShopClient


def test_bug_is_500_without_details(shop: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """A bug is a 500 without details for the client; the log has the trace, once."""

    @shop.get("/api/bug")
    def bug() -> str:
        raise RuntimeError("the password is tea")

    with caplog.at_level(logging.ERROR):
        response = ShopClient(shop).get("/api/bug")
    problem = assert_problem(response, 500)
    assert "tea" not in json.dumps(problem)
    (record,) = caplog.records
    assert record.exc_info
    assert str(record.exc_info[1]) == "the password is tea"


def test_abort_keeps_status_and_sentence(shop: Flask) -> None:
    """A view that aborts gives a problem document with its sentence."""

    @shop.get("/api/gone")
    def gone() -> str:
        abort(410, "It was the last one.")

    problem = assert_problem(ShopClient(shop).get("/api/gone"), 410)
    assert (problem["title"], problem["detail"]) == ("Gone", "It was the last one.")


@pytest.mark.parametrize(
    ("path", "accept", "media_type"),
    [
        ("/none", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("/none", "*/*", "application/problem+json"),
        ("/none", "application/json", "application/problem+json"),
        ("/none", "application/json, text/html;q=0.5", "application/problem+json"),
        ("/none", "image/png", "application/problem+json"),
        ("/api/none", "text/html", "application/problem+json"),
    ],
)
def test_errors_are_pages_for_browsers(
    client: ShopClient, path: str, accept: str, media_type: str
) -> None:
    """A client that asks for a page gets a page; others, and the API, get the document."""
    response = client.get(path, Accept=accept)
    assert (response.status, response.media_type) == (404, media_type)
    assert ("Accept" in response.headers.get("Vary", "")) == (path == "/none")
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    ("error", "status", "meaning", "next_step"),
    [
        (SessionGone("revoked"), 409, "This session came unstuck.", "Back to the shelf"),
        (Conflict(("cart",)), 409, "Two hands in one jar.", "Back to the shelf"),
        (StoreUnavailable("no answer"), 503, "The jar is shut.", "Try again"),
        (OutcomeUnknown("no answer"), 503, "It may have stuck.", "Look into the cart"),
    ],
)
def test_page_explains_problem(
    shop: Flask, error: SessionError, status: int, meaning: str, next_step: str
) -> None:
    """A page says what happened, what to do, and what the document says."""

    @shop.get("/failing")
    def failing() -> str:
        raise error

    response = ShopClient(shop).get("/failing", Accept="text/html")
    assert response.status == status
    assert f"<h1>{meaning}</h1>" in response.text
    assert f">{next_step}</a>" in response.text
    assert str(error) in response.text


def test_error_page_escapes_path(client: ShopClient) -> None:
    """A path in the text of an error page is text."""
    response = client.get("/<script>", Accept="text/html")
    assert "&lt;script&gt;" in response.text
    assert "<script" not in response.text
