"""What holds for the answers of Flask's test client."""

from typing import Any

from werkzeug.test import TestResponse

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def expect_problem(response: TestResponse, status: int) -> dict[str, Any]:
    """Assert that an answer is a problem document of this status, and return the document."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    problem = response.json
    assert isinstance(problem, dict)
    assert problem["status"] == status
    assert problem["instance"] == response.request.path
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert response.headers["Cache-Control"] == "no-store"
    return problem


def expect_no_session(response: TestResponse) -> None:
    """Assert that an answer sends no cookie."""
    assert "Set-Cookie" not in response.headers


def quantities(response: TestResponse) -> dict[str, int]:
    """Return the cart of an answer, sku → quantity."""
    assert response.status_code == 200, response.text
    cart = response.json
    assert isinstance(cart, dict)
    return {item["sku"]: item["qty"] for item in cart["items"]}
