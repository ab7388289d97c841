"""Counts a browser's visits in Flask's own session."""

import os
import time

from flask import Flask, session

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "dev")


@app.get("/")
def index() -> str:
    """Count a visit."""
    session["visits"] = session.get("visits", 0) + 1
    return f"visit {session['visits']}\n"


@app.post("/slow")
def slow() -> str:
    """Take a while."""
    time.sleep(2)
    return "at last\n"
