"""The time limits of a shutdown, from several files: each outer one exceeds the inner."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kit.local import configuration, nginx, services, supervisor
from kit.settings import load
from kit.setup import application
from kit.setup.environment import Environment
from kit.state import StateFolder
from kit.system import templates

from tests.support.checkout import ROOT

_SECONDS = pytest.mark.parametrize("seconds", ["1", "30", "300"])


def _milliseconds(text: str, setting: str) -> int:
    """Return the one value of a setting of nginx or Compose, such as 30s5000ms."""
    pattern = rf"\b{setting}:? (?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?(?:;|$| +#)"
    (found,) = re.findall(pattern, text, re.MULTILINE)
    minutes, whole, thousandths = (int(part or 0) for part in found)
    return (minutes * 60 + whole) * 1000 + thousandths


def _docker(seconds: str) -> dict[str, int]:
    compose = (ROOT / "compose" / "compose.yaml").read_text(encoding="utf-8")
    compose = compose.replace("${REQUEST_SECONDS:-30}", seconds)
    services = dict(re.findall(r"^  (\w+):\n((?:    .*\n|\n)+)", compose, re.MULTILINE))
    # Gunicorn and nginx follow the same variable.
    assert f' REQUEST_SECONDS: "{seconds}"' in services["app"]
    assert f' NGINX_REQUEST_SECONDS: "{seconds}"' in services["nginx"]
    names = {"replica": "app", "nginx": "nginx", "store": "redis"}
    return {
        name: _milliseconds(services[service], "stop_grace_period") // 1000
        for name, service in names.items()
    }


def _local(seconds: str, folder: Path) -> dict[str, int]:
    state = StateFolder(folder / "state")
    state.claim()
    state.create()
    programs = {"NGINX_BIN": "/bin/sh", "REDIS_SERVER": "/bin/sh"}
    settings = load({**programs, "REQUEST_SECONDS": seconds}, folder)
    environment = Environment(folder / "venv", ())
    release = services.Release(application.read(settings, state), environment, folder)
    found = [
        services.replica("app-1", settings, state, release),
        nginx.Nginx(settings, state, environment).service,
        *services.stores(settings, state, environment),
    ]
    text = configuration.configuration(found, state)
    state.remove_sockets()
    stops = dict(zip(("replica", "nginx", "store"), [e.stop_seconds for e in found], strict=True))
    # supervisord outlives the slowest of its services.
    assert max(stops.values()) < supervisor.stop_seconds(text)
    return stops


@_SECONDS
@pytest.mark.parametrize("runtime", ["local", "docker"])
def test_time_limits_of_a_shutdown_are_in_order(tmp_path: Path, runtime: str, seconds: str) -> None:
    """A request may end, then its worker, then its server; only then is a server killed."""
    stops = _docker(seconds) if runtime == "docker" else _local(seconds, tmp_path)
    rendered = templates.render(ROOT / "nginx", {"NGINX_REQUEST_SECONDS": seconds}, "^NGINX_")
    read = _milliseconds(rendered["proxy.conf"], "proxy_read_timeout") / 1000
    send = _milliseconds(rendered["proxy.conf"], "proxy_send_timeout") / 1000
    shutdown = _milliseconds(rendered["nginx.conf"], "worker_shutdown_timeout") / 1000

    assert read == send == int(seconds)
    # Gunicorn kills its workers before it is killed.
    assert int(seconds) < stops["replica"]
    # nginx's old workers wait for the longest answer, and end before they are killed; a deployment
    # waits as long for them before it stops the old replicas.
    assert read < shutdown < stops["nginx"]


@_SECONDS
def test_gunicorn_gives_up_together_with_nginx(seconds: str) -> None:
    """A worker may take as long for a request as nginx waits for it, also at a stop."""
    shown = subprocess.run(
        [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            ROOT / "app" / "gunicorn.conf.py",
            "--print-config",
        ],
        env={"PATH": os.environ["PATH"], "REQUEST_SECONDS": seconds, "APP": "flask:Flask('x')"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    limits = dict(re.findall(r"^((?:graceful_)?timeout) +=? *(\d+)$", shown, re.MULTILINE))
    assert limits == {"timeout": seconds, "graceful_timeout": seconds}
