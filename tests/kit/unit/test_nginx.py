"""nginx's configuration in both runtimes: what is rendered, and what is found in it again."""

from pathlib import Path

import pytest
from kit.docker.engine import Engine
from kit.docker.project import Project
from kit.local.nginx import Nginx, rendered_port
from kit.settings import load
from kit.setup.environment import Environment
from kit.state import StateFolder


def _variables(folder: Path, **environ: str) -> list[dict[str, str]]:
    """Return the variables of nginx's templates in the local and the docker runtime."""
    state = StateFolder(folder / "state")
    settings = load({"STATE_DIR": str(state.root), **environ}, folder)
    nginx = Nginx(settings, state, Environment(folder / "venv", ()))
    project = Project(settings, state, Engine())
    return [nginx.variables(["app-1", "app-2"]), project.environment({})]


@pytest.mark.parametrize(
    ("app", "paths"),
    [("", "/api/(cart/items|checkout)"), ("shop:app", "/api/(cart/items|checkout)"), ("mine", "")],
)
def test_posts_are_sent_again_for_the_shop_only(tmp_path: Path, app: str, paths: str) -> None:
    """Nginx sends POSTs again for the shop; another application may ignore an Idempotency-Key."""
    for variables in _variables(tmp_path, APP=app):
        assert variables["NGINX_IDEMPOTENT_PATHS"] == paths


def test_own_paths_are_sent_again_in_containers(tmp_path: Path) -> None:
    """The caller can name the paths of another application."""
    _, docker = _variables(tmp_path, APP="mine:app", NGINX_IDEMPOTENT_PATHS="/pay")
    assert docker["NGINX_IDEMPOTENT_PATHS"] == "/pay"


@pytest.mark.parametrize(("worker_class", "kept"), [("sync", "0"), ("gthread", "16")])
def test_connections_are_kept_for_workers_with_keepalive(
    tmp_path: Path, worker_class: str, kept: str
) -> None:
    """Nginx keeps connections open only to workers that keep them open, too."""
    local, docker = _variables(tmp_path, WORKER_CLASS=worker_class, PORT="9000")
    assert local["NGINX_UPSTREAM_KEEPALIVE"] == docker["NGINX_UPSTREAM_KEEPALIVE"] == kept
    assert local["NGINX_LISTEN"] == "127.0.0.1:9000"
    assert local["NGINX_UPSTREAM_SERVERS"].count("server unix:") == 2


@pytest.mark.parametrize(
    ("files", "port"),
    [
        ({"listen_plain.conf": "# HTTP.\nlisten 127.0.0.1:9000 default_server;\n"}, 9000),
        ({"server.conf": "server {\n    listen 127.0.0.1:9000 default_server;\n}\n"}, 9000),
        ({}, None),
    ],
)
def test_port_is_found_in_the_configuration(
    tmp_path: Path, files: dict[str, str], port: int | None
) -> None:
    """The port is found in any file, as older versions rendered it elsewhere; none before `up`."""
    state = StateFolder(tmp_path)
    conf = state.nginx / "conf"
    conf.mkdir(parents=True)
    for name, text in files.items():
        (conf / name).write_text(text)
    assert rendered_port(state) == port
