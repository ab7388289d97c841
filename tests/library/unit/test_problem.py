"""Errors as problem documents."""

import pytest
from flask import Flask
from unsticky import (
    Conflict,
    OutcomeUnknown,
    OutOfRange,
    SessionError,
    SessionGone,
    StaleCredential,
    StoreUnavailable,
    Unserializable,
    problem,
)


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (Conflict(("theme",)), 409, "session-conflict", None),
        (SessionGone("rotated"), 409, "session-gone", None),
        (OutOfRange(99), 409, "out-of-range", None),
        (StaleCredential(3), 401, "stale-credential", None),
        (StoreUnavailable("gone"), 503, "store-unavailable", "1"),
        (OutcomeUnknown("gone"), 503, "outcome-unknown", None),
        (Unserializable("session['a'] is an object"), 500, "session-unserializable", None),
        (SessionError("inside"), 500, "session-error", None),
    ],
)
def test_each_error_has_its_answer(
    error: SessionError, status: int, code: str, retry_after: str | None
) -> None:
    """Status, stable code, Retry-After only where repeating is right; a 500 tells nothing."""
    answer = problem(error)
    document = answer.get_json()
    assert answer.status_code == document["status"] == status
    assert answer.content_type == "application/problem+json"
    assert (document["code"], document["type"]) == (code, "about:blank")
    assert document["title"]
    assert answer.headers.get("Retry-After") == retry_after
    assert answer.headers["Cache-Control"] == "no-store"
    assert document.get("detail") == (error.detail if status != 500 else None)


@pytest.mark.parametrize("error", [StoreUnavailable("at 10.0.0.7"), OutcomeUnknown("at 10.0.0.7")])
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_no_answer_names_the_store(error: SessionError, accept: str) -> None:
    """Where the store is stands in the log; visitors read what it means for them."""
    with Flask("site").test_request_context(headers={"Accept": accept}):
        answer = problem(error)
    assert "10.0.0.7" not in answer.get_data(as_text=True)
    assert error.detail in answer.get_data(as_text=True)


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
@pytest.mark.parametrize(("given", "shown"), [("a1-b2", True), ("<b>", False), ("", False)])
def test_each_answer_shows_the_requests_id(accept: str, given: str, *, shown: bool) -> None:
    """By the id its log lines are found; what is not fit for a log line is not repeated."""
    headers = {"Accept": accept, "X-Request-ID": given}
    with Flask("site").test_request_context(headers=headers):
        answer = problem(StoreUnavailable("gone"))
    document = answer.get_json(silent=True) or {}
    text = answer.get_data(as_text=True)
    assert document.get("request_id") == (given if shown and document else None)
    assert (f"<small>{given}</small>" in text) == (shown and not document)
    assert "<b>" not in text


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/html;q=0.5", False),
        ("", False),
    ],
)
def test_a_browser_sees_a_page(accept: str, *, html: bool) -> None:
    """Who prefers HTML gets it; programs get the problem document."""
    with Flask("site").test_request_context(headers={"Accept": accept}):
        answer = problem(Conflict(("<b>",)))
    assert (answer.mimetype == "text/html") == html
    assert ("<b>" in answer.get_data(as_text=True)) != html


def test_a_conflict_says_what_stays() -> None:
    """The detail names the field, and that atomic operations which answered are not undone."""
    detail = problem(Conflict(("theme",))).get_json()["detail"]
    assert "theme" in detail
    assert "atomic operations that were answered before stay" in detail
