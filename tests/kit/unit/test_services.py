"""What the processes of a stack are started with."""

import json
from pathlib import Path

import pytest
from kit.local import services
from kit.local.supervisor import configuration
from kit.settings import load
from kit.setup.environment import Environment
from kit.state import StateFolder


@pytest.fixture(name="state")
def _state(tmp_path: Path) -> StateFolder:
    state = StateFolder(tmp_path / "state")
    state.claim()
    state.create()
    return state


def _described(state: StateFolder, **environ: str) -> dict[str, str]:
    environment = Environment(state.root / "venv", ())
    settings = load({"STATE_DIR": str(state.root), **environ}, state.root)
    service = services.replica("app-1", settings, state, environment, state.root / "r")
    described: dict[str, str] = json.loads(service.description(state))["env"]
    return described


def test_key_is_made_once(state: StateFolder) -> None:
    """Without a secret one is made, for its owner only, and kept."""
    first = _described(state)["SECRET_KEY_FILE"]
    key = Path(first).read_text()

    assert len(key) == 64
    assert Path(first).stat().st_mode & 0o777 == 0o600
    assert Path(_described(state)["SECRET_KEY_FILE"]).read_text() == key


def test_given_key_is_used(state: StateFolder) -> None:
    """A SECRET_KEY of the caller's goes to the replicas, and no other is made."""
    env = _described(state, SECRET_KEY="k" * 40)

    assert env["SECRET_KEY"] == "k" * 40
    assert "SECRET_KEY_FILE" not in env
    assert not state.secret_key.exists()


def test_given_store_is_used(state: StateFolder) -> None:
    """A REDIS_URL of the caller's reaches the replicas; otherwise they get the kit's own store."""
    assert _described(state, REDIS_URL="redis://h/1")["REDIS_URL"] == "redis://h/1"
    assert _described(state)["REDIS_URL"].startswith("unix:///")


def test_other_terminal_changes_nothing(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is started does not depend on chance variables of the terminal, nor on its PATH."""
    before = _described(state)
    monkeypatch.setenv("PATH", "/elsewhere")
    monkeypatch.setenv("WINDOWID", "42")

    assert _described(state) == before


def test_application_gets_its_own_variables(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """UNSTICKY_* of the environment and unknown names of .env go to the replicas."""
    monkeypatch.setenv("UNSTICKY_DEADLINE", "2")
    (state.root / ".env").write_text("STRIPE_KEY=s\n")

    env = _described(state)

    assert (env["UNSTICKY_DEADLINE"], env["STRIPE_KEY"]) == ("2", "s")


def test_supervisord_file_has_no_path_of_the_caller(tmp_path: Path) -> None:
    """Whatever the folder is called, supervisord's file has only plain paths in it."""
    state = StateFolder(tmp_path / "odd %(x)s ;#\"'")
    state.claim()
    state.create()
    settings = load({"STATE_DIR": str(state.root)}, tmp_path)
    service = services.replica(
        "app-1", settings, state, Environment(state.root / "venv", ()), state.root / "r"
    )

    text = configuration([service], state)

    state.remove_sockets()
    assert "odd" not in text
    assert "command=run/launch app-1\n" in text
    assert "autostart=false" in text
