"""What containers read as secrets: made once, readable in there, and to nobody else here."""

import hashlib
import os
import stat
from pathlib import Path

import pytest
from kit.docker.credentials import prepare
from kit.errors import KitError
from kit.settings import load
from kit.state import StateFolder


def _folder(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "state")
    folder.claim()
    return folder


def test_made_once(tmp_path: Path) -> None:
    """A second time changes no file; the store's users have the passwords' digests."""
    folder = _folder(tmp_path)
    files = {name: Path(path) for name, path in prepare(load({}, tmp_path), folder).items()}
    before = {path: (path.read_text(), path.stat().st_mtime_ns) for path in files.values()}
    prepare(load({}, tmp_path), folder)
    assert {path: (path.read_text(), path.stat().st_mtime_ns) for path in before} == before
    health = files["REDIS_HEALTH_PASSWORD_FILE"].read_text()
    assert hashlib.sha256(health.encode()).hexdigest() in files["REDIS_USERS_FILE"].read_text()
    assert files["SECRET_KEY_FILE"].read_text() == folder.secret_key.read_text()


def test_modes(tmp_path: Path) -> None:
    """The folder is its owner's alone, whatever the umask; the files in it can be read by all."""
    folder = _folder(tmp_path)
    former = os.umask(0)
    try:
        files = prepare(load({}, tmp_path), folder)
    finally:
        os.umask(former)
    assert stat.S_IMODE(folder.secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(Path(path).stat().st_mode) for path in files.values()} == {0o444}


def test_a_given_key_and_store(tmp_path: Path) -> None:
    """A SECRET_KEY and a REDIS_URL of the caller's are what the files hold."""
    url = "rediss://user:password@redis.example:6379/0"
    settings = load({"SECRET_KEY": "k" * 32, "REDIS_URL": url}, tmp_path)
    files = prepare(settings, _folder(tmp_path))
    assert Path(files["SECRET_KEY_FILE"]).read_text() == "k" * 32
    assert Path(files["REDIS_URL_FILE"]).read_text() == url


@pytest.mark.parametrize("url", ["redis://127.0.0.1:6379/0", "unix:///run/redis.sock"])
def test_a_store_of_this_host(tmp_path: Path, url: str) -> None:
    """A store that only this host reaches is refused: inside a container it is another host."""
    with pytest.raises(KitError, match="inside a container"):
        prepare(load({"REDIS_URL": url}, tmp_path), _folder(tmp_path))
