"""Errors that are no view's: unknown paths, wrong methods, faults of the shop."""

import json
import logging

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient
from unsticky import Conflict, OutcomeUnknown, SessionError, SessionGone, StoreUnavailable

from tests.shop.expect import expect_no_session, expect_problem


@pytest.mark.parametrize(
    "path", ["/none", "/api/none", "/api/cart/", "/api//cart", "/livez/", "/%00"]
)
def test_unknown_paths(browser: FlaskClient, path: str) -> None:
    """A path that is not there is a 404, never a redirect to a similar one."""
    response = browser.get(f"http://localhost{path}")
    assert response.status_code == 404
    assert response.mimetype == "application/problem+json"
    expect_no_session(response)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/api/products", {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/api/cart", {"GET", "HEAD", "OPTIONS", "DELETE"}),
        ("GET", "/api/cart/items", {"POST", "OPTIONS"}),
        ("GET", "/api/cart/items/tea", {"PUT", "DELETE", "OPTIONS"}),
        ("DELETE", "/api/session", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/livez", {"GET", "HEAD", "OPTIONS"}),
        ("PATCH", "/readyz", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/cart/add", {"POST", "OPTIONS"}),
        ("GET", "/logout", {"POST", "OPTIONS"}),
        ("GET", "/checkout", {"POST", "OPTIONS"}),
        ("POST", "/orders", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/account/end-others", {"POST", "OPTIONS"}),
        ("TRACE", "/livez", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_wrong_methods(browser: FlaskClient, method: str, path: str, allowed: set[str]) -> None:
    """A method that a path does not know is a 405, and Allow lists those that it does."""
    response = browser.open(path, method=method)
    expect_problem(response, 405)
    assert {name.strip() for name in response.headers["Allow"].split(",")} == allowed


def test_head(browser: FlaskClient) -> None:
    """HEAD answers like GET, without the body."""
    response = browser.head("/api/products")
    assert (response.status_code, response.data) == (200, b"")
    assert int(response.headers["Content-Length"]) == len(browser.get("/api/products").data)


def test_faults_of_the_shop(shop: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """A bug is a 500 that tells the client nothing of it, and the log the trace, once."""

    @shop.get("/api/bug")
    def bug() -> str:
        raise RuntimeError("the password is tea")

    with caplog.at_level(logging.ERROR):
        response = shop.test_client().get("/api/bug")
    problem = expect_problem(response, 500)
    assert "tea" not in json.dumps(problem)
    (record,) = caplog.records
    assert record.exc_info
    assert str(record.exc_info[1]) == "the password is tea"


def test_statuses_that_a_view_aborts_with(shop: Flask) -> None:
    """What a view aborts with is a problem document with the sentence that it gave."""

    @shop.get("/api/gone")
    def gone() -> str:
        abort(410, "It was the last one.")

    problem = expect_problem(shop.test_client().get("/api/gone"), 410)
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
def test_browsers_get_a_page(browser: FlaskClient, path: str, accept: str, media_type: str) -> None:
    """Who asks for a page gets the error as a page; the API and everyone else the document."""
    response = browser.get(path, headers={"Accept": accept})
    assert (response.status_code, response.mimetype) == (404, media_type)
    assert ("Accept" in response.headers.get("Vary", "")) == (path == "/none")
    expect_no_session(response)


@pytest.mark.parametrize(
    ("error", "status", "meaning", "next_step"),
    [
        (SessionGone("revoked"), 409, "This session came unstuck.", "Back to the shelf"),
        (Conflict(("cart",)), 409, "Two hands in one jar.", "Back to the shelf"),
        (StoreUnavailable("no answer"), 503, "The jar is shut.", "Try again"),
        (OutcomeUnknown("no answer"), 503, "It may have stuck.", "Look into the cart"),
    ],
)
def test_pages_say_what_a_problem_means(
    shop: Flask, error: SessionError, status: int, meaning: str, next_step: str
) -> None:
    """A page says in a person's words what happened, what to do, and what the document says."""

    @shop.get("/failing")
    def failing() -> str:
        raise error

    response = shop.test_client().get("/failing", headers={"Accept": "text/html"})
    assert response.status_code == status
    assert f"<h1>{meaning}</h1>" in response.text
    assert f">{next_step}</a>" in response.text
    assert str(error) in response.text


def test_what_clients_send_is_escaped(browser: FlaskClient) -> None:
    """A path in the text of an error page is text."""
    response = browser.get("/<script>", headers={"Accept": "text/html"})
    assert "&lt;script&gt;" in response.text
    assert "<script" not in response.text
