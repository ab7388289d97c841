"""The state folder, and where its sockets go."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.errors import KitError
from kit.state import StateFolder


@pytest.fixture(name="short")
def _short(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder with a short path, as a desktop session has one."""
    folder = Path(f"/tmp/k{os.getpid()}")  # noqa: S108  (pytest's own path is too long for it)
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield folder
    shutil.rmtree(folder)


def test_short_folder_holds_its_sockets(short: Path) -> None:
    """Where the path is short enough, the sockets are inside the state folder."""
    folder = StateFolder(short / "state")

    assert folder.sockets == folder.run


@pytest.mark.parametrize("name", ["deep" * 40, "with space", "a;b", "50%", "a:b", 'q"q', "ü"])
def test_unusable_path_gets_a_short_folder(short: Path, name: str) -> None:
    """A path that is too long, or that nginx or supervisord would misread, gets a stand-in."""
    folder = StateFolder(short / name)
    folder.claim()
    folder.create()

    assert folder.sockets.parent == short
    assert folder.sockets.stat().st_mode & 0o777 == 0o700
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder.sockets / "supervisor.sock.4194304"))

    folder.remove_sockets()
    assert not folder.sockets.exists()


def test_short_folder_is_found_again(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another terminal, without XDG_RUNTIME_DIR, finds the stand-in that was chosen."""
    folder = StateFolder(short / "with space")
    folder.claim()
    folder.create()
    chosen = folder.sockets
    monkeypatch.delenv("XDG_RUNTIME_DIR")

    assert folder.sockets == chosen


def test_copied_folder_gets_its_own_sockets(short: Path) -> None:
    """A copy of a state folder does not take the original's sockets for its own."""
    original = StateFolder(short / "with space")
    original.claim()
    original.create()
    shutil.copytree(original.root, short / "a copy")

    assert StateFolder(short / "a copy").sockets != original.sockets


def test_short_folder_of_others_is_refused(short: Path) -> None:
    """A stand-in that others may enter, as one laid there by another user, is refused."""
    folder = StateFolder(short / "with space")
    folder.sockets.mkdir(mode=0o755)
    folder.claim()

    with pytest.raises(KitError, match="not a private folder"):
        folder.create()


def test_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    """A folder that holds other files is not taken, for `make clean` would remove them."""
    (tmp_path / "thesis.txt").touch()

    with pytest.raises(KitError, match=r"thesis\.txt"):
        StateFolder(tmp_path).claim()


def test_folder_with_a_cache_is_accepted(tmp_path: Path) -> None:
    """A folder where only a linter was before is taken."""
    (tmp_path / "cache").mkdir()
    folder = StateFolder(tmp_path)
    folder.claim()

    assert folder.is_claimed()
