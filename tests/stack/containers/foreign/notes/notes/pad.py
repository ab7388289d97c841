"""The pad's pages."""

import time

from flask import Blueprint, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

pages = Blueprint("pad", __name__)


@pages.get("/")
def show() -> str:
    """Show the notes."""
    return render_template("pad.html", notes=session.get("notes", []))


@pages.post("/")
def write() -> Response:
    """Add a note."""
    session["notes"] = [*session.get("notes", []), request.form["note"]]
    return redirect(url_for("pad.show"))


@pages.post("/slow")
def slow() -> str:
    """Take a while."""
    time.sleep(2)
    return "at last\n"
