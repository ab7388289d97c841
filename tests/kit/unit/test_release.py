"""Frozen copies of the code."""

import os
from pathlib import Path

import pytest
from kit.errors import KitError
from kit.system import release


@pytest.fixture(name="app")
def _app(tmp_path: Path) -> Path:
    app = tmp_path / "app"
    (app / "shop" / "__pycache__").mkdir(parents=True)
    for name, text in {
        "gunicorn.conf.py": "bind = 'x'\n",
        "Dockerfile": "FROM scratch\n",
        "shop/__init__.py": "A = 1\n",
        "shop/cart.html": "<p>",
        "shop/__pycache__/x.pyc": "stale",
    }.items():
        (app / name).write_text(text)
    (tmp_path / "releases").mkdir()
    return app


def _frozen(app: Path, data: Path | None = None) -> Path:
    return release.freeze(app, app, app.parent / "releases", data)


def test_same_code_is_the_same_release(app: Path) -> None:
    """Freezing unchanged code gives the folder that is there, whatever was compiled meanwhile."""
    releases = app.parent / "releases"
    first = _frozen(app)
    (app / "shop" / "__pycache__" / "y.pyc").write_text("new")
    assert _frozen(app) == first
    assert list(releases.iterdir()) == [first]


def test_edit_makes_another_release(app: Path) -> None:
    """An edit or another name of a file gives another release, and changes none."""
    first = _frozen(app)
    (app / "shop" / "__init__.py").write_text("A = 2\n")
    second = _frozen(app)
    assert second != first
    (app / "shop" / "cart.html").rename(app / "shop" / "tart.html")
    assert _frozen(app) not in {first, second}
    assert (first / "code" / "shop" / "__init__.py").read_text() == "A = 1\n"
    assert (second / "code" / "shop" / "__init__.py").read_text() == "A = 2\n"


def test_release_has_no_caches(app: Path) -> None:
    """Templates and data come along; caches and the Dockerfile do not."""
    frozen = _frozen(app)
    assert (frozen / "code" / "shop" / "cart.html").exists()
    assert not (frozen / "code" / "Dockerfile").exists()
    assert not list(frozen.rglob("x.pyc"))


def test_pruning_keeps_the_newest_and_the_used(app: Path) -> None:
    """Three releases are kept: the one in use, however old, and the newest others."""
    releases = app.parent / "releases"
    made = []
    for number in range(5):
        (app / "shop" / "__init__.py").write_text(f"A = {number}\n")
        made.append(_frozen(app))
        os.utime(made[-1], (number, number))
    release.prune(releases, made[0])
    assert sorted(releases.iterdir()) == sorted([made[0], made[3], made[4]])


def test_missing_code_is_refused(tmp_path: Path) -> None:
    """A checkout without app/ is refused by name."""
    with pytest.raises(KitError, match="gunicorn"):
        release.freeze(tmp_path / "app", tmp_path / "app", tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "unsticky.egg-info/PKG-INFO",
        "shop/cart.py~",
        "shop/stale.pyc",
        ".venv/lib/python3/site-packages/flask/app.py",
        "shop/__pycache__/deep/x.txt",
    ],
)
def test_leftovers_are_no_code(app: Path, name: str) -> None:
    """What `pip install .`, an editor or a cache leaves in app/ makes no other release."""
    before = release.content_of(app)
    (app / name).parent.mkdir(parents=True, exist_ok=True)
    (app / name).touch()
    assert release.content_of(app) == before


def test_kept_files_are_readable_whatever_the_umask(tmp_path: Path) -> None:
    """Containers read some copies as other users, so a private umask does not close them."""
    former = os.umask(0o077)
    try:
        kept = release.keep({Path("a", "b"): b"x"}, tmp_path)
    finally:
        os.umask(former)
    modes = [path.stat().st_mode & 0o777 for path in (kept, kept / "a", kept / "a" / "b")]
    assert modes == [0o755, 0o755, 0o644]


def test_data_is_no_code(app: Path) -> None:
    """The instance folder is a link to the data; databases and what Docker ignores stay out."""
    data = app.parent / "data"
    data.mkdir()
    for name in ("instance/config.py", "shop/static/big.iso", "shop/keep.iso", "venv/pyvenv.cfg"):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text("x")
    (app / "shop" / "app.db").write_bytes(b"SQLite format 3\0rest")
    (app / "notes.db").write_bytes(b"SQLite format 3\0rest")
    (app / ".dockerignore").write_text("# large\n**/*.iso\n!shop/keep.iso\n")

    frozen = _frozen(app, data)

    names = {str(path.relative_to(frozen / "code")) for path in (frozen / "code").rglob("*")}
    assert "shop/keep.iso" in names
    assert not names & {"shop/static/big.iso", "shop/app.db", "notes.db", "venv"}
    assert (frozen / "code" / "instance").readlink() == data
    assert release.databases(app) == ["notes.db"]


def test_release_with_a_database_is_never_pruned(app: Path) -> None:
    """What an application wrote into its release stays until somebody has looked at it."""
    first = _frozen(app)
    (first / "code" / "app.db").write_bytes(b"SQLite format 3\0rest")
    os.utime(first, (0, 0))
    for number in range(4):
        (app / "shop" / "__init__.py").write_text(f"A = {number}\n")
        _frozen(app)

    release.prune(app.parent / "releases")

    assert first.exists()


def test_library_of_the_application_comes_first(app: Path) -> None:
    """The kit's library is in a release unless the application brings it."""
    (app / "unsticky").mkdir()
    (app / "unsticky" / "__init__.py").write_text("")
    blog = app.parent / "blog"
    blog.mkdir()

    with_own = _frozen(app)
    without = release.freeze(blog, app, app.parent / "releases")

    assert not (with_own / "kit" / "unsticky").exists()
    assert (without / "kit" / "unsticky" / "__init__.py").exists()
