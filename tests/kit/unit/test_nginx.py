"""nginx's configuration in both runtimes: what is rendered, and what is found in it again."""

from pathlib import Path

import pytest
from kit.docker.engine import Engine
from kit.docker.project import Project
from kit.local.nginx import Nginx, rendered_port
from kit.settings import load
from kit.setup.environment import Environment
from kit.state import StateFolder

_TRUSTED = "set_real_ip_from 10.0.0.0/8; set_real_ip_from ::1;"


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


@pytest.mark.parametrize(
    ("name", "given", "local", "docker"),
    [
        ("NGINX_IDEMPOTENT_PATHS", "/pay", "/pay", "/pay"),
        ("NGINX_LOGIN_PATHS", "/enter", "/enter", "/enter"),
        ("NGINX_LOGIN_PATHS", "", "", ""),
        ("NGINX_MAX_BODY_SIZE", "", "16m", "16m"),
        ("NGINX_PREFIX", "/shop", "/shop", "/shop"),
        ("NGINX_GZIP", "off", "off", "off"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, ::1", _TRUSTED, _TRUSTED),
        ("TRUSTED_PROXIES", _TRUSTED, _TRUSTED, _TRUSTED),
        ("REQUEST_SECONDS", "60", "60", "60"),
        ("NGINX_STATIC_DIR", "/etc", "/etc", "/etc"),
        ("BIND_ADDRESS", "[::]", "[::]:8080 ipv6only=off", "[::]"),
    ],
)
def test_variables_of_a_project_reach_nginx(
    tmp_path: Path, name: str, given: str, local: str, docker: str
) -> None:
    """Both runtimes pass on what the caller sets for an application of their own."""
    templates, compose = _variables(tmp_path, **{"APP": "mine:app", name: given})
    inside = {"BIND_ADDRESS": "NGINX_LISTEN"}.get(name, f"NGINX_{name.removeprefix('NGINX_')}")
    assert (templates[inside], compose[name]) == (local, docker)


def test_shop_has_its_own_limits(tmp_path: Path) -> None:
    """For the shop nginx limits bodies as the shop does, and the logins."""
    for variables in _variables(tmp_path):
        assert variables["NGINX_MAX_BODY_SIZE"] == "64k"
        assert variables["NGINX_LOGIN_PATHS"] == "/login|/api/login"


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
