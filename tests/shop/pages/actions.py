"""What the tests of pages do again and again, in Flask's test client."""

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.shop.expect import FIREFOX
from tests.shop.pages.page import Page

HTML = {"Accept": "text/html"}
FORM = "application/x-www-form-urlencoded"


def log_in(browser: FlaskClient, name: str = "ada", word: str = "", **fields: str) -> TestResponse:
    """Send the form, by default with the name as the password."""
    form = {"username": name, "password": word or name, **fields}
    return browser.post("/login", data=form, headers={**HTML, "User-Agent": FIREFOX})


def user_of(browser: FlaskClient) -> str | None:
    """Return the user of this browser's session."""
    user: str | None = browser.get("/api/session").json["user"]  # type: ignore[index]
    return user


def order(browser: FlaskClient) -> TestResponse:
    """Press the button of the page of the cart as it is now."""
    key = Page(browser.get("/cart")).field("idempotency_key")["value"]
    return browser.post("/checkout", data={"idempotency_key": key}, headers=HTML)
