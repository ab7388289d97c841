"""The stand-in images behave as the official ones do where the stack relies on it."""

import os
import shutil
import subprocess

import pytest

from tests.support.checkout import ROOT
from tests.support.needs import need

_NGINX = ROOT / "nginx"


def _run(image: str, *arguments: str) -> str:
    """Run a container to its end; return what it said.

    Args:
        image: the variable that names the image.
        arguments: options, a double dash, and the command.
    """
    docker = need(shutil.which("docker"), "docker is missing", "REQUIRE_CONTAINERS")
    name = need(os.environ.get(image), f"{image} is not set", "REQUIRE_CONTAINERS")
    split = arguments.index("--")
    options, command = arguments[:split], arguments[split + 1 :]
    done = subprocess.run(
        [docker, "run", "--rm", "--read-only", "--cap-drop=ALL", "--network=none", *options, name,
         *command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return done.stdout


def test_nginx_standin_renders_templates() -> None:
    """The image's own user renders them to conf.d, by the filter, leaving nginx's variables."""
    said = _run(
        "NGINX_IMAGE",
        f"--volume={_NGINX}:/etc/nginx/templates:ro",
        "--tmpfs=/etc/nginx/conf.d:uid=101",
        "--env=NGINX_ENVSUBST_FILTER=^NGINX_",
        "--env=NGINX_LISTEN=8080",
        "--env=host=wrong",
        *("--", "nginx", "-t", "-c", "/etc/nginx/conf.d/listen_plain.conf", "-e", "stderr"),
    )
    # nginx reads the file that was made, and has no `listen` outside a server.
    assert "/etc/nginx/conf.d/listen_plain.conf" in said
    assert '"listen" directive is not allowed here' in said


def test_nginx_standin_starts_on_a_read_only_folder() -> None:
    """On a read-only conf.d the image complains and goes on: why the stack mounts a tmpfs there."""
    said = _run(
        "NGINX_IMAGE",
        f"--volume={_NGINX}:/etc/nginx/templates:ro",
        *("--", "nginx", "-v"),
    )
    assert "is not writable" in said
    assert "nginx version" in said


@pytest.mark.parametrize("image", ["REDIS_IMAGE", "VALKEY_IMAGE"])
def test_store_standin_runs_unprivileged(image: str) -> None:
    """As 999 it starts without a capability, and options alone mean the server."""
    said = _run(image, "--user=999:999", "--tmpfs=/data:uid=999", "--", "--version")
    assert said.startswith(("Redis server v=", "Valkey server v="))


def test_python_standin_has_pip_and_venv() -> None:
    """`python` is 3.13 or newer, with pip and venv, and there is no compiler."""
    code = "import sys, venv, shutil; print(sys.version_info >= (3, 13), shutil.which('cc'))"
    assert _run("PYTHON_IMAGE", "--", "python", "-c", code).strip() == "True None"
    assert _run("PYTHON_IMAGE", "--", "pip", "--version").startswith("pip ")
