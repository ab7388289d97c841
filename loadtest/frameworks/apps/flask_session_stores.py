"""Flask-Session over each of its stores, as its documentation sets them up.

See https://flask-session.readthedocs.io/en/latest/config.html.
"""

from contextlib import nullcontext
from typing import Any
from urllib.parse import urlsplit

from flask import Flask
from flask_session import Session

from loadtest.frameworks.apps import one_at_a_time


def install(app: Flask, url: str) -> None:
    """Keep the application's sessions at a URL of redis, mongodb, sqlite or file."""
    app.config.update(_settings(app, url))
    with one_at_a_time(urlsplit(url).path) if url.startswith("sqlite") else nullcontext():
        Session(app)


def _settings(app: Flask, url: str) -> dict[str, Any]:
    place = urlsplit(url)
    # Only what a store needs is imported: the processes are compared.
    match place.scheme:
        case "mongodb":
            import pymongo

            return {
                "SESSION_TYPE": "mongodb",
                "SESSION_MONGODB": pymongo.MongoClient(url),
                "SESSION_MONGODB_DB": place.path.strip("/"),
            }
        case "sqlite":
            from flask_sqlalchemy import SQLAlchemy

            app.config["SQLALCHEMY_DATABASE_URI"] = url
            return {"SESSION_TYPE": "sqlalchemy", "SESSION_SQLALCHEMY": SQLAlchemy(app)}
        case "file":
            from cachelib.file import FileSystemCache

            # By default it deletes sessions once there are 500.
            cache = FileSystemCache(cache_dir=place.path, threshold=0)
            return {"SESSION_TYPE": "cachelib", "SESSION_CACHELIB": cache}
        case _:
            import redis

            return {"SESSION_TYPE": "redis", "SESSION_REDIS": redis.Redis.from_url(url)}
