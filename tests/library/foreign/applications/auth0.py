"""Auth0's sample of a Python web application, first lesson."""

from .application import Application, Visit
from .oauth import Login, add_steps

APPLICATION = Application(
    name="auth0",
    repository="auth0-samples/auth0-python-web-app",
    folder="01-Login",
    requirements=("-r requirements.txt",),
    load="from server import app",
    environment={
        "AUTH0_CLIENT_ID": "id",
        "AUTH0_CLIENT_SECRET": "secret",
        "AUTH0_DOMAIN": "auth0.invalid",
        "APP_SECRET_KEY": "not-secret: signs the cookies of a test",
    },
    needs_issuer=True,
)

LOGIN = Login(start="/login", home="/", shows="Welcome Ann!", many=True)

add_steps(APPLICATION, LOGIN)


@APPLICATION.step("the whole token is shown as JSON")
def _(visit: Visit) -> None:
    browser = visit.browser()
    LOGIN.enter(browser).needs('"token_type": "Bearer"', '"email": "ann@example.org"')


@APPLICATION.step("log out")
def _(visit: Visit) -> None:
    browser = visit.browser()
    LOGIN.enter(browser)
    browser.visit("/logout")
    browser.get("/").needs("Welcome Guest").lacks(LOGIN.shows)


@APPLICATION.step("log out in one tab while another loads the page")
def _(visit: Visit) -> None:
    browser = visit.browser()
    LOGIN.enter(browser)
    browser.at_once(lambda: browser.get("/logout"), *[lambda: browser.get("/")] * 3)
    browser.get("/").needs("Welcome Guest")


@APPLICATION.step("Flask's test client")
def _(visit: Visit) -> None:
    visit.client("""
from flask import session
with app.test_client() as client:
    with client.session_transaction() as changed:
        changed["user"] = {"userinfo": {"name": "Bob"}}
    assert "Welcome Bob" in client.get("/").text
    assert session["user"]["userinfo"]["name"] == "Bob"
    client.get("/logout")
    assert not session
""")
