"""Flask-Dance's example of a GitHub login with its default storage, which is the session."""

from .application import Application, Visit
from .oauth import Login, add_steps

APPLICATION = Application(
    name="flask-dance",
    repository="singingwolfboy/flask-dance-github",
    requirements=("-r requirements.txt",),
    load="from github import app",
    environment={
        "GITHUB_OAUTH_CLIENT_ID": "id",
        "GITHUB_OAUTH_CLIENT_SECRET": "secret",
        "OAUTHLIB_INSECURE_TRANSPORT": "true",
        "OAUTHLIB_RELAX_TOKEN_SCOPE": "true",
    },
    needs_issuer=True,
)

LOGIN = Login(start="/login/github", home="/", shows="You are @ann on GitHub", many=False)

add_steps(APPLICATION, LOGIN)


@APPLICATION.step("Flask's test client")
def _(visit: Visit) -> None:
    visit.client("""
from flask import session
with app.test_client() as client:
    assert client.get("/login/github").status_code == 302
    assert session["github_oauth_state"]
    with client.session_transaction() as changed:
        changed["github_oauth_token"] = {"access_token": "a", "token_type": "bearer"}
    assert "@ann" in client.get("/").text
    del_state = client.get("/login/github")
    assert del_state.status_code == 302
    assert session["github_oauth_token"]["access_token"] == "a"
""")
