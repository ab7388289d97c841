"""`STORE=mongodb`: a server that the kit starts, and one that cannot be used."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http.client import ask
from tests.support.ports import free_port
from tests.support.stacks.local import Stack
from tests.support.stacks.mongod import stand_in
from tests.support.stores.mongodb import MongoServer
from tests.support.waiting import at_most

_APPLICATION = """\
import os
from flask import Flask, session
from unsticky import Unsticky
app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
Unsticky(app)
@app.get("/")
def home():
    session["visits"] = 1
    return os.environ.get("REDIS_URL", "none")
"""


@pytest.fixture(name="mongo")
def _mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    server = MongoServer(tmp_path_factory.mktemp("mongodb"))
    yield server
    server.stop()


@pytest.fixture(name="standalone")
def _standalone(tmp_path: Path) -> Iterator[MongoServer]:
    """A server that belongs to no replica set."""
    server = MongoServer(tmp_path, "--standalone")
    yield server
    server.stop()


def test_a_server_of_its_own(small: Stack, tmp_path: Path) -> None:
    """The kit starts it, makes its user, restarts it, keeps its data, and stops it."""
    small.up(STORE="mongodb", MONGOD_BIN=str(stand_in(tmp_path)))
    browser = small.browser().logged_in("ada").fill(tea=3)
    assert "mongodb" in small.succeed("status")
    assert "Nothing to deploy" in small.up()
    small.end_service("mongodb", signal.SIGKILL)
    small.succeed("restart", SERVICE="mongodb")
    assert browser.cart() == {"tea": 3}
    small.down()
    assert small.left() == []
    small.up()
    assert browser.cart() == {"tea": 3}
    assert browser.user() == "ada"
    password = json.loads((small.folder.data / "mongodb.json").read_text())["password"]
    shown = [path.read_text() for path in small.folder.log.iterdir() if path.is_file()]
    assert not [text for text in [*shown, small.succeed("status")] if password in text]
    private = [small.folder.data / name for name in ("mongodb.json", "mongodb.key", "mongodb")]
    assert [path.stat().st_mode & 0o077 for path in private] == [0, 0, 0]


def test_another_application_needs_no_redis(
    small: Stack, tmp_path: Path, mongo: MongoServer
) -> None:
    """Its packages come with PyMongo, its sessions are in MongoDB, and no other store starts."""
    (tmp_path / "requirements.txt").write_text("flask\n")
    (tmp_path / "app.py").write_text(_APPLICATION)
    printed = small.up(STORE="mongodb", MONGODB_URL=mongo.url, APP_DIR=str(tmp_path))
    assert "sessions in yours, at MONGODB_URL\n" in printed
    assert {*small.running()} == {"app-1", "nginx"}
    sessions = mongo.raw.get_default_database()["unsticky:sessions"]
    before = sessions.count_documents({})
    assert ask(small.port, "GET", "/").body == b"none"
    assert sessions.count_documents({}) == before + 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mongodb://:pass-word@h:port/", "URL cannot be read"),
        ("mongodb://u:pass-word@127.0.0.1:{port}/", "cannot reach the store"),
    ],
)
def test_an_unusable_server_fails_up(small: Stack, url: str, reason: str) -> None:
    """`make up` says what the library says, within seconds and without a secret."""
    with at_most(60):
        printed = small.fail("up", STORE="mongodb", MONGODB_URL=url.format(port=free_port()))
    assert "error: sessions cannot be at MONGODB_URL: " in printed
    assert reason in printed
    assert "pass-word" not in printed
    assert small.left() == []


def test_a_standalone_server_fails_up(small: Stack, standalone: MongoServer) -> None:
    """A server without a replica set is refused before anything starts, with what to do."""
    printed = small.fail("up", STORE="mongodb", MONGODB_URL=standalone.url)
    assert "is a standalone server" in printed
    assert "rs.initiate()" in printed
    assert small.left() == []
