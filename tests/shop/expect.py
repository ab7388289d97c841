"""What holds for the shop's answers."""

from typing import Any

from tests.support.http.wire import Answer

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def assert_problem(answer: Answer, status: int, code: str | None = None) -> dict[str, Any]:
    """Assert that an answer is a problem document of this status, and of this code if given."""
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == "about:blank"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer.headers
    assert code is None or problem["code"] == code
    return problem
