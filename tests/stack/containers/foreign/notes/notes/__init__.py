"""A pad of notes for every browser: an application factory in a package."""

import os

from flask import Flask

from . import pad


def create_app() -> Flask:
    """Return the application."""
    app = Flask(__name__)
    app.config.from_mapping(SECRET_KEY=os.environ.get("SECRET_KEY", "dev"))
    app.register_blueprint(pad.pages)
    return app
