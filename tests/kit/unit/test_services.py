"""What the processes of a stack are started with."""

import json
from pathlib import Path

import pytest
from kit import services
from kit.environment import Environment
from kit.folder import StateFolder
from kit.program import configuration
from kit.settings import load


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> StateFolder:
    folder = StateFolder(tmp_path / "state")
    folder.claim()
    folder.create()
    return folder


def _described(folder: StateFolder, **environ: str) -> dict[str, str]:
    environment = Environment(folder.root / "venv", ())
    settings = load({"STATE_DIR": str(folder.root), **environ}, folder.root)
    service = services.replica("app-1", settings, folder, environment, folder.root / "r")
    described: dict[str, str] = json.loads(service.description(folder))["env"]
    return described


def test_a_key_is_made_once(folder: StateFolder) -> None:
    """Without a secret one is made, for its owner only, and kept."""
    first = _described(folder)["SECRET_KEY_FILE"]
    key = Path(first).read_text()

    assert len(key) == 64
    assert Path(first).stat().st_mode & 0o777 == 0o600
    assert Path(_described(folder)["SECRET_KEY_FILE"]).read_text() == key


def test_a_given_key_is_used(folder: StateFolder) -> None:
    """A SECRET_KEY of the caller's goes to the replicas, and no other is made."""
    env = _described(folder, SECRET_KEY="k" * 40)

    assert env["SECRET_KEY"] == "k" * 40
    assert "SECRET_KEY_FILE" not in env
    assert not folder.secret_key.exists()


def test_a_given_store_is_used(folder: StateFolder) -> None:
    """A REDIS_URL of the caller's reaches the replicas; otherwise they get the kit's own store."""
    assert _described(folder, REDIS_URL="redis://h/1")["REDIS_URL"] == "redis://h/1"
    assert _described(folder)["REDIS_URL"].startswith("unix:///")


def test_another_terminal_changes_nothing(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is started does not depend on chance variables of the terminal, nor on its PATH."""
    before = _described(folder)
    monkeypatch.setenv("PATH", "/elsewhere")
    monkeypatch.setenv("WINDOWID", "42")

    assert _described(folder) == before


def test_the_applications_own_settings_reach_it(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UNSTICKY_* of the environment and unknown names of .env go to the replicas."""
    monkeypatch.setenv("UNSTICKY_DEADLINE", "2")
    (folder.root / ".env").write_text("STRIPE_KEY=s\n")

    env = _described(folder)

    assert (env["UNSTICKY_DEADLINE"], env["STRIPE_KEY"]) == ("2", "s")


def test_supervisords_file_holds_no_path_of_the_callers(tmp_path: Path) -> None:
    """Whatever the folder is called, supervisord's file has only plain paths in it."""
    folder = StateFolder(tmp_path / "odd %(x)s ;#\"'")
    folder.claim()
    folder.create()
    settings = load({"STATE_DIR": str(folder.root)}, tmp_path)
    service = services.replica(
        "app-1", settings, folder, Environment(folder.root / "venv", ()), folder.root / "r"
    )

    text = configuration([service], folder)

    folder.remove_sockets()
    assert "odd" not in text
    assert "command=run/launch app-1\n" in text
    assert "autostart=false" in text


@pytest.mark.parametrize(
    ("app", "paths"),
    [("", "/api/(cart/items|checkout)"), ("shop:app", "/api/(cart/items|checkout)"), ("mine", "")],
)
def test_nginx_sends_keyed_posts_again_for_the_shop(
    folder: StateFolder, app: str, paths: str
) -> None:
    """Another application may not honour the keys, so nothing is sent again for it."""
    settings = load({"APP": app, "PORT": "9000"}, folder.root)

    variables = services.nginx_variables(settings, folder, ["app-1", "app-2"])

    assert variables["NGINX_KEYED_PATHS"] == paths


@pytest.mark.parametrize(("worker_class", "kept"), [("sync", "0"), ("gthread", "16")])
def test_nginx_keeps_connections_for_workers_that_do(
    folder: StateFolder, worker_class: str, kept: str
) -> None:
    """Connections to the replicas stay open only for workers with keep-alive."""
    settings = load({"WORKER_CLASS": worker_class, "PORT": "9000"}, folder.root)

    variables = services.nginx_variables(settings, folder, ["app-1", "app-2"])

    assert variables["NGINX_UPSTREAM_KEEPALIVE"] == kept
    assert variables["NGINX_LISTEN"] == "127.0.0.1:9000"
    assert variables["NGINX_UPSTREAM_SERVERS"].count("server unix:") == 2
