"""What the processes of a stack are started with."""

import json
import socket
from pathlib import Path

import pytest
from kit.errors import KitError
from kit.local import launch, mongodb, services
from kit.local.configuration import configuration
from kit.local.supervisor import Supervisor
from kit.settings import CHECKOUT, load
from kit.setup import application
from kit.setup.environment import Environment
from kit.state import StateFolder
from kit.system import processes


def _described(state: StateFolder, **environ: str) -> dict[str, str]:
    described: dict[str, str] = json.loads(_replica(state, **environ).description(state))["env"]
    return described


def _replica(state: StateFolder, **environ: str) -> services.Service:
    environment = Environment(state.root / "venv", ())
    settings = load({"STATE_DIR": str(state.root), **environ}, state.root)
    app = application.read(settings, state)
    return services.replica(
        "app-1", settings, state, services.Release(app, environment, state.root / "r")
    )


def test_key_is_made_once(state: StateFolder) -> None:
    """Without a secret one is made, for its owner only, and kept."""
    first = Path(_described(state)["SECRET_KEY_FILE"])
    key = first.read_text()
    assert len(key) == 64
    assert first.stat().st_mode & 0o777 == 0o600
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


def test_sessions_are_where_mongodb_is(state: StateFolder) -> None:
    """The replicas get the caller's URL, or that of the kit's server, and its user's password."""
    shop = _described(state, STORE="mongodb", MONGODB_URL="mongodb://u:p@h/db")
    assert shop["UNSTICKY_STORE"] == "mongodb://u:p@h/db"
    assert shop["REDIS_URL"].startswith("unix:///")
    assert "MONGODB_URL" not in shop
    own = {"STORE": "mongodb", "MONGOD_BIN": "/bin/sh", "REDIS_SERVER": "/bin/sh"}
    server = mongodb.recorded(state)
    assert _described(state, **own)["UNSTICKY_STORE"] == server.url
    settings = load(own, state.root)
    *_, service = services.stores(settings, state, Environment(state.root / "venv", ()))
    words = " ".join(service.argv)
    assert f"--bind_ip 127.0.0.1 --port {server.port} " in words
    assert "--replSet unsticky --keyFile" in words
    assert server.password not in words
    project = state.root.parent / "blog"
    project.mkdir()
    (project / "app.py").write_text("app = Flask('x')\n")
    foreign = _described(state, APP_DIR=str(project), **own)
    assert foreign["UNSTICKY_STORE"] == server.url
    assert "REDIS_URL" not in foreign


def test_port_of_mongodb_that_is_taken_is_refused(state: StateFolder) -> None:
    """Its replica set knows it by the port, so that it cannot listen on another one."""
    settings = load({"STORE": "mongodb", "MONGOD_BIN": "/bin/sh"}, state.root)
    with socket.create_server(("127.0.0.1", mongodb.recorded(state).port)):
        mongodb.prepare(settings, state, ["mongodb"])
        with pytest.raises(KitError, match="in use by another program"):
            mongodb.prepare(settings, state, [])


def test_other_terminal_changes_nothing(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is started does not depend on chance variables of the terminal, nor on its PATH."""
    before = _described(state)
    # ssh sends LC_ALL and LANG, and Redis does not start with a locale that its host lacks.
    other = {"PATH": "/elsewhere", "WINDOWID": "42", "LC_ALL": "xx_YY.UTF-8", "LANG": "xx_YY.UTF-8"}
    for name, value in other.items():
        monkeypatch.setenv(name, value)
    assert _described(state) == before


def test_application_gets_its_own_variables(state: StateFolder) -> None:
    """UNSTICKY_* and OTEL_* of the environment and unknown names of .env go to the replicas."""
    (state.root / ".env").write_text("STRIPE_KEY=s\n")
    given = {"UNSTICKY_DEADLINE": "2", "OTEL_SERVICE_NAME": "shop"}
    assert {**given, "STRIPE_KEY": "s"}.items() <= _described(state, **given).items()


def test_supervisord_file_has_no_path_of_the_caller(tmp_path: Path) -> None:
    """Whatever the folder is called, supervisord's file has only plain paths in it."""
    state = StateFolder(tmp_path / "odd %(x)s ;#\"'")
    state.claim()
    state.create()
    text = configuration([_replica(state)], state)
    state.remove_sockets()
    assert "odd" not in text
    assert "command=run/launch app-1\n" in text
    assert "autostart=false" in text


@pytest.mark.parametrize("store", ["single", "sentinel"])
def test_folder_that_is_a_pattern_is_refused(tmp_path: Path, store: str) -> None:
    """The store would find no configuration, and listen on its usual port without a password."""
    settings = load({"STORE": store}, tmp_path)
    for name in ("a[1]", "a*", "a?"):
        state = StateFolder(tmp_path / name)
        with pytest.raises(KitError, match="for a pattern"):
            services.stores(settings, state, Environment(state.root / "venv", ()))


def test_launcher_needs_no_checkout(state: StateFolder) -> None:
    """What starts services names nothing outside the state folder and its environment."""
    Supervisor(state).write_launcher(Environment(state.root / "venv", ()))
    launcher = (state.run / "launch").read_text()
    assert str(CHECKOUT) not in launcher
    assert (state.run / "launch.py").read_bytes() == Path(launch.__file__).read_bytes()


def test_files_suffice_for_the_connections(tmp_path: Path) -> None:
    """`ulimit -n 256` is enough for the default stack; each thread may have a connection."""
    assert services.files_of(load({}, tmp_path)) <= 256
    big = {"REPLICAS": "8", "WORKERS": "8", "WORKER_CLASS": "gthread", "THREADS": "16"}
    assert services.files_of(load(big, tmp_path)) > 32 + 8 * 8 * 16


def test_too_few_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of open files below what the stack needs is named, with both numbers."""
    monkeypatch.setattr(processes, "most_files", lambda: 64)
    with pytest.raises(KitError, match=r"you may open 64 files at once .* needs 92"):
        processes.require_files(92)


def test_application_keeps_its_own_store_and_key(state: StateFolder) -> None:
    """What an application has in its `.env` stays; sessions go to the kit's store all the same."""
    project = state.root.parent / "blog"
    project.mkdir()
    (project / "app.py").write_text("app = Flask('x')\n")
    (project / ".env").write_text("SECRET_KEY=theirs\nREDIS_URL=redis://queue/0\nWORKERS=9\n")

    env = _described(state, APP_DIR=str(project))

    assert env["APP"] == "app:app"
    assert (env["SECRET_KEY"], env["REDIS_URL"]) == ("theirs", "redis://queue/0")
    assert env["UNSTICKY_STORE"].startswith("unix:///")
    assert env["WORKERS"] == "2"
    assert "SECRET_KEY" not in _described(state, APP_DIR=str(project), SECRET_KEY_FILE=__file__)
