"""The stand-in images behave as the official ones do where the stack relies on it."""

import os
import shutil
import subprocess

import pytest

from tests.support.checkout import ROOT

_NGINX = ROOT / "nginx"


def _run(image: str, *arguments: str) -> str:
    """Run a container to its end; return what it said.

    Args:
        image: the variable that names the image.
        arguments: options, a double dash, and the command.
    """
    docker, name = shutil.which("docker"), os.environ.get(image)
    if docker is None or name is None:
        assert os.environ.get("REQUIRE_CONTAINERS") != "1", f"docker or {image} is missing"
        pytest.skip(f"docker or {image} is missing")
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
