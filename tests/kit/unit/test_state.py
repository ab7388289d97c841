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


def _made(root: Path) -> StateFolder:
    folder = StateFolder(root)
    folder.claim()
    folder.create()
    return folder


def test_short_folder_holds_its_sockets(short: Path) -> None:
    """Where the path is short enough, the sockets are inside the state folder."""
    folder = StateFolder(short / "state")
    assert folder.sockets == folder.run


@pytest.mark.parametrize("name", ["deep" * 40, "with space", "a;b", "50%", "a:b", 'q"q', "ü"])
def test_unusable_path_gets_a_short_folder(short: Path, name: str) -> None:
    """A path that is too long, or that nginx or supervisord would misread, gets a stand-in."""
    folder = _made(short / name)
    assert folder.sockets.parent == short
    assert folder.sockets.stat().st_mode & 0o777 == 0o700
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder.sockets / "supervisor.sock.4194304"))
    sockets = folder.sockets
    folder.remove_sockets()
    assert not sockets.exists()


def test_short_folder_is_found_again(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another terminal, without XDG_RUNTIME_DIR, finds the stand-in that was chosen."""
    folder = _made(short / "with space")
    chosen = folder.sockets
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert folder.sockets == chosen


def test_copied_folder_gets_its_own_sockets(short: Path) -> None:
    """A copy of a state folder does not take the original's sockets for its own."""
    original = _made(short / "with space")
    shutil.copytree(original.root, short / "a copy")
    assert StateFolder(short / "a copy").sockets != original.sockets


def test_short_folder_cannot_be_taken_by_others(short: Path) -> None:
    """A stand-in that is open to others is not used, nor one that somebody made before."""
    folder = _made(short / "with space")
    taken = folder.sockets
    taken.chmod(0o755)
    folder.create()
    assert folder.sockets != taken
    assert folder.sockets.stat().st_mode & 0o777 == 0o700


def test_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    """A state folder is closed to other users, who could lock its locks; an older one is, too."""
    folder = StateFolder(tmp_path / "state")
    folder.root.mkdir(mode=0o755)
    folder.claim()
    assert folder.root.stat().st_mode & 0o777 == 0o700


def test_link_to_nothing_is_refused(tmp_path: Path) -> None:
    """A state folder that is a link to a folder that is gone, as of a disk, is refused."""
    (tmp_path / "state").symlink_to(tmp_path / "unmounted")
    with pytest.raises(KitError, match=r"a link to .*unmounted, which does not exist"):
        StateFolder(tmp_path / "state").claim()


def test_linked_folder_stays_and_is_empty(tmp_path: Path) -> None:
    """If the state folder is a link, it is emptied; the targets of links in it stay."""
    disk, shared = tmp_path / "disk", tmp_path / "shared"
    disk.mkdir()
    shared.mkdir()
    (tmp_path / "state").symlink_to(disk)
    folder = _made(tmp_path / "state")
    (folder.root / "venv").symlink_to(shared)
    assert folder.remove() == [shared]
    assert list(disk.iterdir()) == []
    assert shared.is_dir()
    folder.claim()
    assert folder.is_claimed()


def test_removal_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A removal that fails half-way leaves a folder that is still known as one of the kit."""
    folder = _made(tmp_path / "state")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", _refuse)
        with pytest.raises(PermissionError):
            folder.remove()
    assert folder.is_claimed()
    folder.remove()
    assert not folder.root.exists()


def _refuse(path: Path) -> None:
    raise PermissionError(path)


@pytest.mark.parametrize("name", ["thesis.txt", "cache"])
def test_folder_with_other_files_is_refused(tmp_path: Path, name: str) -> None:
    """A folder with other files is not taken, as `make clean` removes it; a linter's cache is."""
    (tmp_path / name).touch()
    folder = StateFolder(tmp_path)
    if name == "cache":
        folder.claim()
    else:
        with pytest.raises(KitError, match=r"thesis\.txt"):
            folder.claim()
    assert folder.is_claimed() == (name == "cache")
