"""The folder of `make init`: written once, and updated without losing a change."""

from pathlib import Path

import pytest
from kit.errors import KitError
from kit.settings import load
from kit.setup import standalone
from kit.setup.standalone import Fate

from tests.conftest import copy_checkout
from tests.support.checkout import ROOT


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    return tmp_path / "blog" / "deploy"


def _fates(folder: Path, **files: str) -> dict[str, Fate]:
    """Write these files as the kit's own, and return what became of them."""
    changes = standalone.write(folder, {name.replace("_", "."): t for name, t in files.items()})
    return {change.name: change.fate for change in changes}


def test_second_run_changes_nothing(folder: Path) -> None:
    """All files are new at first, and unchanged afterwards."""
    assert set(_fates(folder).values()) == {Fate.NEW}
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert set(_fates(folder).values()) == {Fate.SAME}
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_folder_has_what_the_stack_needs(folder: Path) -> None:
    """Each file that the containers are made from is there, and the scripts can be run."""
    standalone.write(folder, {})

    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names >= {
        ".unsticky.json", "Dockerfile", "compose.isolated.yaml", "compose.tls.yaml", "compose.yaml",
        "deploy", "gunicorn.conf.py", "lib/unsticky/__init__.py", "lib/unsticky_gunicorn.py",
        "kubernetes/README.md", "nginx/nginx.conf.template", "redis/redis.conf",
        "redis/users.acl.template", "secrets.sh", "swarm/deploy.sh", "swarm/stack.yaml",
    }  # fmt: skip
    assert [(folder / name).stat().st_mode & 0o777 for name in ("deploy", "secrets.sh")] == [
        0o755
    ] * 2


def test_folder_is_read_in_fifteen_minutes(tmp_path: Path) -> None:
    """Its owner reads 890 lines at most, 300 of the script; without library and overlays."""
    overlays = {"compose.external.yaml", "compose.isolated.yaml", "compose.tls.yaml"}
    overlays |= {"compose.sentinel.yaml", "sentinel.sh", "sentinels.acl.template"}
    overlays |= {"compose.grafana.yaml", "compose.observe.yaml"}
    overlays |= {path.name for path in (ROOT / "compose" / "observe").rglob("*.*")}
    (tmp_path / "blog").mkdir()
    (tmp_path / "blog" / "app.py").write_text("from flask import Flask\napp = Flask(__name__)\n")
    standalone.init(load({"DIR": str(tmp_path / "blog")}, tmp_path))
    lines = {
        path.name: len(path.read_text().splitlines())
        for path in (tmp_path / "blog" / "deploy").rglob("*")
        if path.is_file() and not {"lib", "kubernetes", "swarm"} & {*path.parts}
        if path.name not in {standalone.MANIFEST, "kustomization.yaml"}
    }
    assert lines["deploy"] <= 300
    assert overlays <= lines.keys()
    assert sum(lines[name] for name in lines.keys() - overlays) <= 890, lines


def test_update_takes_what_only_one_side_has_changed(folder: Path) -> None:
    """The kit's changes arrive, the owner's stay, and both in one file are merged."""
    text = "one\n\n\n\ntwo\n\n\n\nthree\n"
    _fates(folder, a_x=text, b_x=text, c_x=text)
    (folder / "b.x").write_text(text.replace("one", "mine"))
    (folder / "c.x").write_text(text.replace("one", "mine"))

    newer = text.replace("three", "newer")
    fates = _fates(folder, a_x=newer, b_x=text, c_x=newer)

    assert [fates[name] for name in ("a.x", "b.x", "c.x")] == [
        Fate.UPDATED,
        Fate.KEPT,
        Fate.MERGED,
    ]
    assert (folder / "a.x").read_text() == newer
    assert (folder / "b.x").read_text() == text.replace("one", "mine")
    assert (folder / "c.x").read_text() == newer.replace("one", "mine")


def test_conflict_keeps_both(folder: Path) -> None:
    """If both have changed a line, the owner's file stays and the kit's lies beside it."""
    _fates(folder, a_x="one\n")
    (folder / "a.x").write_text("mine\n")

    assert _fates(folder, a_x="newer\n")["a.x"] is Fate.CONFLICT
    assert (folder / "a.x").read_text() == "mine\n"
    assert (folder / "a.x.new").read_text() == "newer\n"


def test_conflict_stays_until_its_owner_resolves_it(folder: Path) -> None:
    """A later kit merges nothing into a file while the kit's side of a conflict lies beside it."""
    lines = "one\n\n\n\ntwo\n"
    _fates(folder, a_x=lines)
    (folder / "a.x").write_text(lines.replace("one", "mine"))
    newer = lines.replace("one", "newer")
    _fates(folder, a_x=newer)

    newest = newer.replace("two", "newest")
    assert _fates(folder, a_x=newest)["a.x"] is Fate.CONFLICT
    assert (folder / "a.x").read_text() == lines.replace("one", "mine")
    assert (folder / "a.x.new").read_text() == newest

    (folder / "a.x.new").unlink()
    assert _fates(folder, a_x=newest)["a.x"] is Fate.KEPT


def test_newer_kit_keeps_what_an_owner_wrote(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files of a kit, edited by an owner, and those of a later kit: nothing is lost."""
    older = tmp_path / "older"
    older.mkdir()
    copy_checkout(older)
    for name, today, before in (
        ("compose/compose.yaml", "PORT:-8080", "PORT:-8000"),
        ("nginx/client.conf.template", "keepalive_timeout 65s;", "keepalive_timeout 75s;"),
        ("nginx/server.conf.template", "server_name _;", 'server_name "";'),
        ("app/Dockerfile", "USER 10001:10001", "USER app"),
    ):
        text = (older / name).read_text()
        assert today in text
        (older / name).write_text(text.replace(today, before))
    (older / "nginx" / "former.conf.template").write_text("# The kit gave this up.\n")
    (older / "compose" / "compose.isolated.yaml").unlink()
    monkeypatch.setattr(standalone, "CHECKOUT", older)
    standalone.write(folder, {".env": "REPLICAS=2\n"})
    mine = {
        "compose.yaml": ("\nnetworks:\n", "\n  db: {image: postgres}\n\nnetworks:\n"),
        "nginx/server.conf.template": ('server_name "";', "server_name blog.example;"),
        "redis/redis.conf": ("\n", "\n# mine\n"),
        ".env": ("2", "5"),
    }
    for name, (before, after) in mine.items():
        text = (folder / name).read_text()
        assert before in text
        (folder / name).write_text(text.replace(before, after, 1))
    (folder / "app.env").write_text("MINE=1\n")

    monkeypatch.undo()
    fates = {
        change.name: change.fate for change in standalone.write(folder, {".env": "REPLICAS=2\n"})
    }

    assert {name: fate for name, fate in fates.items() if fate is not Fate.SAME} == {
        "compose.yaml": Fate.MERGED,
        "nginx/client.conf.template": Fate.UPDATED,
        "nginx/server.conf.template": Fate.CONFLICT,
        "nginx/former.conf.template": Fate.GONE,
        "Dockerfile": Fate.UPDATED,
        "compose.isolated.yaml": Fate.NEW,
        "redis/redis.conf": Fate.KEPT,
        ".env": Fate.KEPT,
    }
    for name, (_, after) in mine.items():
        assert after in (folder / name).read_text()
    assert "PORT:-8080" in (folder / "compose.yaml").read_text()
    assert "server_name _;" in (folder / "nginx" / "server.conf.template.new").read_text()
    assert (folder / "app.env").read_text() == "MINE=1\n"


def test_file_that_its_owner_removed_stays_away(folder: Path) -> None:
    """A removed file comes back only if the kit has changed it."""
    _fates(folder, a_x="one\n")
    (folder / "a.x").unlink()

    assert _fates(folder, a_x="one\n")["a.x"] is Fate.KEPT
    assert not (folder / "a.x").exists()


def test_file_that_the_kit_gave_up_goes_unless_it_was_changed(folder: Path) -> None:
    """What the kit no longer writes is removed, but never an owner's text."""
    _fates(folder, a_x="one\n", b_x="one\n")
    (folder / "b.x").write_text("mine\n")

    assert _fates(folder)["a.x"] is Fate.GONE
    assert not (folder / "a.x").exists()
    assert (folder / "b.x").read_text() == "mine\n"


def test_own_settings_are_never_replaced(folder: Path) -> None:
    """The folder's `.env` is its owner's from the start."""
    _fates(folder, _env="APP=a\n")
    (folder / ".env").write_text("APP=mine\n")

    assert _fates(folder, _env="APP=b\n")[".env"] is Fate.KEPT
    assert (folder / ".env").read_text() == "APP=mine\n"


def test_folder_of_somebody_else_is_refused(folder: Path) -> None:
    """A folder of that name with other files is not touched."""
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")

    with pytest.raises(KitError, match="holds other files"):
        standalone.write(folder, {})

    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("text", ["", "{}", '{"files": {"a": {"content": "?"}}}'])
def test_broken_manifest_is_refused(text: str, folder: Path) -> None:
    """Without the former content nothing can be merged, so nothing is written."""
    folder.mkdir(parents=True)
    (folder / standalone.MANIFEST).write_text(text)

    with pytest.raises(KitError, match="cannot be read"):
        standalone.write(folder, {})
