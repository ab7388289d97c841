"""Folders that other users can change are not used."""

import os
from pathlib import Path

import pytest
from kit.errors import KitError
from kit.settings import load
from kit.system.folders import require_own

_STRANGER = 65534

# Only root can give a folder to another user.
by_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(name="checkout")
def _checkout(tmp_path: Path) -> Path:
    (tmp_path / "checkout").mkdir()
    return tmp_path / "checkout"


@by_root
@pytest.mark.parametrize("setting", ["STATE_DIR", "VENV_DIR"])
def test_folder_of_another_user_is_refused(tmp_path: Path, checkout: Path, setting: str) -> None:
    """Who owns the folder could replace what is run from it."""
    made = tmp_path / "made before"
    made.mkdir()
    os.chown(made, _STRANGER, _STRANGER)
    for path in (made, made / "inside"):
        with pytest.raises(KitError, match=f"{setting}={path} is not safe: .* in {made}"):
            load({setting: str(path)}, checkout)


@by_root
def test_link_of_another_user_is_refused(tmp_path: Path, checkout: Path) -> None:
    """A link could lead elsewhere later."""
    link = tmp_path / "link"
    link.symlink_to(checkout)
    os.lchown(link, _STRANGER, _STRANGER)
    with pytest.raises(KitError, match="is not safe"):
        require_own("STATE_DIR", link, checkout)


@by_root
def test_folder_open_to_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that all may write to can hold what a stranger made; in /tmp a new one is safe."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with pytest.raises(KitError, match="is not safe"):
        require_own("VENV_DIR", tmp_path, checkout)
    require_own("VENV_DIR", tmp_path / "new", checkout)
    tmp_path.chmod(0o777)
    with pytest.raises(KitError, match="is not safe"):
        require_own("VENV_DIR", tmp_path / "new", checkout)


def test_own_folders_are_accepted(tmp_path: Path, checkout: Path) -> None:
    """The caller's own folders are used, whatever their mode; so is one that does not exist."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own").chmod(0o777)
    for path in (tmp_path / "own", tmp_path / "a" / "b", checkout / ".state"):
        require_own("STATE_DIR", path, checkout)
