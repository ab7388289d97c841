"""Authlib's demonstration of a Google login, on Flask."""

from .application import Application, Visit
from .browser import Broken
from .oauth import Login, add_steps

APPLICATION = Application(
    name="authlib-google",
    repository="authlib/demo-oauth-client",
    folder="flask-google-login",
    requirements=("flask", "authlib", "requests"),
    load="from app import app",
    environment={"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "secret"},
    needs_issuer=True,
)

LOGIN = Login(start="/login", home="/", shows='"name": "Ann"', many=True)

add_steps(APPLICATION, LOGIN)


@APPLICATION.step("log out")
def _(visit: Visit) -> None:
    browser = visit.browser()
    LOGIN.enter(browser)
    browser.visit("/logout").lacks(LOGIN.shows)


@APPLICATION.step("an old cookie after the logout")
def _(visit: Visit) -> None:
    browser, old = visit.browser(), visit.browser()
    LOGIN.enter(browser)
    old.cookies = dict(browser.cookies)
    browser.visit("/logout")
    if LOGIN.shows in old.get("/").text:
        raise Broken("the cookie from before the logout is still logged in")


@APPLICATION.step("Flask's test client")
def _(visit: Visit) -> None:
    visit.client("""
from flask import session
with app.test_client() as client:
    assert client.get("/login").status_code == 302
    assert any(key.startswith("_state_google_") for key in session), dict(session)
    with client.session_transaction() as changed:
        changed["user"] = {"name": "Bob"}
    assert "Bob" in client.get("/").text
    client.get("/logout")
    assert "user" not in session
""")
