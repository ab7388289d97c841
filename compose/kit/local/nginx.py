"""nginx's configuration: rendered, checked, put in place, and taken over without a restart."""

import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from kit import templates
from kit.environment import Environment
from kit.errors import KitError
from kit.folder import StateFolder
from kit.processes import children
from kit.services import nginx_arguments, nginx_program, nginx_variables, upstream_servers
from kit.settings import PROJECT, Settings

_FILTER = "^NGINX_"
# Not those that a comment shows.
_SERVERS = re.compile(r"(?<=^    )server unix:.*;(?:\n    server unix:.*;)*", re.MULTILINE)
_RELOAD_SECONDS = 10
# Old workers end their requests within worker_shutdown_timeout, 35 s.
_DRAIN_SECONDS = 40


def install(
    settings: Settings, folder: StateFolder, environment: Environment, replicas: Sequence[str]
) -> bool:
    """Put the configuration for these replicas in place; return whether it differs.

    Raises:
        KitError: nginx refuses it; the former one stays in place.
    """
    templates_of_nginx = PROJECT / "nginx"
    rendered = templates.render(
        templates_of_nginx, nginx_variables(settings, folder, replicas), _FILTER
    )
    if "nginx.conf" not in rendered:
        raise KitError(
            f"{templates_of_nginx / 'nginx.conf.template'} is missing.",
            "Restore nginx/ from the repository.",
        )
    return _put(rendered, settings, folder, environment)


def reroute(
    settings: Settings, folder: StateFolder, environment: Environment, replicas: Sequence[str]
) -> bool:
    """Send requests to these replicas, all else as it was rendered; return whether it was news.

    Raises:
        KitError: nginx refuses it; the former configuration stays in place.
    """
    servers = upstream_servers(folder, replicas)
    rerouted = {
        name: _SERVERS.sub(lambda _: servers, text, count=1)
        for name, text in _contents(folder.nginx / "conf").items()
    }
    return _put(rerouted, settings, folder, environment)


def _put(
    rendered: dict[str, str], settings: Settings, folder: StateFolder, environment: Environment
) -> bool:
    current = folder.nginx / "conf"
    if _contents(current) == rendered:
        return False
    new = folder.nginx / "conf.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    for name, text in rendered.items():
        (new / name).write_text(text, encoding="utf-8")
    check(nginx_program(settings, environment), folder, "conf.new")
    shutil.rmtree(current, ignore_errors=True)
    new.rename(current)
    return True


def check(program: Path, folder: StateFolder, conf: str) -> None:
    """Let nginx read a configuration.

    Raises:
        KitError: it refuses it.
    """
    tested = subprocess.run(
        [program, "-t", *nginx_arguments(folder, conf)],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if tested.returncode:
        raise KitError(
            f"nginx refuses the rendered configuration in {folder.nginx / conf}:\n"
            f"{tested.stderr.strip()}",
            "Mend the template of that name in nginx/. What runs was not touched.",
        )


def await_reload(master: int, old: frozenset[int]) -> None:
    """Wait until nginx works with its new configuration and its old workers have gone.

    Raises:
        KitError: it kept the old one.
    """
    deadline = time.monotonic() + _RELOAD_SECONDS
    while not children(master) - old:
        if time.monotonic() > deadline:
            raise KitError(
                "nginx did not take over its new configuration.",
                "`make logs SERVICE=nginx` says why; `make restart SERVICE=nginx` starts it anew.",
            )
        time.sleep(0.02)
    deadline = time.monotonic() + _DRAIN_SECONDS
    while children(master) & old and time.monotonic() < deadline:
        time.sleep(0.02)


def rendered_port(folder: StateFolder) -> int | None:
    """Return the port that the configuration in place listens on."""
    # Whichever file it stands in: an older version of this kit may have rendered them.
    text = "\n".join(_contents(folder.nginx / "conf").values())
    found = re.search(r"^\s*listen 127\.0\.0\.1:(\d+)", text, re.MULTILINE)
    return int(found[1]) if found else None


def probe_host(settings: Settings) -> str:
    """Return a host name that the application takes for its own."""
    hosts = [host.strip().lstrip(".") for host in settings.trusted_hosts.split(",")]
    return "localhost" if "localhost" in hosts else hosts[0]


def _contents(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        return {}
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
