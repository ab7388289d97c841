"""The time limits of a shutdown, from several files: each outer one exceeds the inner."""

import re
from pathlib import Path
from typing import Final

import pytest
from kit.local import nginx, services, supervisor
from kit.settings import load
from kit.setup import application
from kit.setup.environment import Environment
from kit.state import StateFolder
from kit.system import reload

from tests.support.checkout import ROOT

_NGINX: Final = ROOT / "nginx"


def _seconds(path: Path, setting: str) -> int:
    """Return the one value of a setting in a file, in seconds."""
    pattern = rf"^\s*{setting}(?: = | |: )(\d+)s?;?$"
    (found,) = re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    return int(found)


@pytest.fixture(name="stop_seconds", params=["local", "docker"])
def _stop_seconds(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, int]:
    """How long each service may take to stop, before it is killed."""
    if request.param == "docker":
        compose = (ROOT / "compose" / "compose.yaml").read_text(encoding="utf-8")
        pattern = r"^  (\w+):\n(?:    .*\n|\n)*?    stop_grace_period: (\d+)s$"
        periods = dict(re.findall(pattern, compose, re.MULTILINE))
        names = {"replica": "app", "nginx": "nginx", "store": "redis"}
        return {name: int(periods[service]) for name, service in names.items()}
    state = StateFolder(tmp_path / "state")
    state.claim()
    state.create()
    settings = load({"NGINX_BIN": "/bin/sh", "REDIS_SERVER": "/bin/sh"}, tmp_path)
    environment = Environment(tmp_path / "venv", ())
    release = services.Release(application.read(settings, state), environment, tmp_path)
    replica = services.replica("app-1", settings, state, release)
    store = services.store(settings, state, environment)
    found = {
        "replica": replica.stop_seconds,
        "nginx": nginx.Nginx(settings, state, environment).service.stop_seconds,
        "store": store.stop_seconds,
    }
    state.remove_sockets()
    return found


def test_time_limits_of_a_shutdown_are_in_order(stop_seconds: dict[str, int]) -> None:
    """A request may end, then its worker, then its server; only then is a server killed."""
    timeout = _seconds(ROOT / "app" / "gunicorn.conf.py", "timeout")
    graceful = _seconds(ROOT / "app" / "gunicorn.conf.py", "graceful_timeout")
    read = _seconds(_NGINX / "proxy.conf.template", "proxy_read_timeout")
    shutdown = _seconds(_NGINX / "nginx.conf.template", "worker_shutdown_timeout")

    # nginx waits for an answer as long as a worker may take for it.
    assert timeout == read
    # Gunicorn kills its workers before it is killed.
    assert graceful < stop_seconds["replica"]
    # nginx's old workers wait for the longest answer, and end before they are killed.
    assert read < shutdown < stop_seconds["nginx"]
    # A deployment waits for nginx's old workers before it stops the old replicas.
    assert shutdown < reload.DRAIN_SECONDS
    # supervisord outlives the slowest of its services.
    assert max(stop_seconds.values()) < supervisor.STOP_SECONDS
