"""The smoke test: visitors try a new release before it takes the place of the one that serves."""

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from kit.console import plain
from kit.errors import KitError
from kit.settings import CHECKOUT, Settings, probe_host
from kit.setup import environment

_GIVEN = ("ACCOUNTS", "SCENARIO", "SESSION_COOKIE_SECURE", "SLO")
_LINES = 20
_BLAME = "if the release that serves is at fault: {} SMOKE_SECONDS=0"
# Longer than a slow machine needs to start the visitors.
_MORE_SECONDS = 180


def is_on(settings: Settings) -> bool:
    """Whether a release is tried at all."""
    return settings.smoke_seconds > 0


def prepare(settings: Settings) -> None:
    """Build the environment of the visitors.

    Raises:
        KitError: it cannot be built.
    """
    if settings.smoke_command:
        return
    try:
        environment.ensure(environment.to_load(settings))
    except KitError as error:
        hint = f"or deploy without the smoke test: {settings.make('deploy')} SMOKE_SECONDS=0"
        raise KitError(error.problem, *error.hints, hint) from error


def line(settings: Settings) -> str:
    """Return the kit's own smoke test as a line for a shell."""
    python = shlex.quote(str(environment.to_load(settings).python))
    path = os.pathsep.join(str(CHECKOUT / part) for part in (".", "app", "compose"))
    variables = f"PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={shlex.quote(path)}"
    # In place of the shell, so that it sees when the deployment, SMOKE_PARENT, is killed.
    return f"exec env {variables} {python} -m loadtest.smoke"


def variables(settings: Settings, health_path: str) -> dict[str, str]:
    """Return what a smoke test finds in its environment, except for the address and the stage."""
    given = {**settings.application, **settings.load}
    return {
        **{name: given[name] for name in _GIVEN if name in given},
        "NGINX_PREFIX": settings.prefix,
        "SHOP_DEMO": str(int(settings.shop_demo)),
        "STATE_DIR": str(settings.state_dir),
        "HEALTH_PATH": health_path,
        "SMOKE_APP": "shop" if settings.is_shop else "",
        "SMOKE_HOST": probe_host(settings.trusted_hosts),
        "SMOKE_SECONDS": str(settings.smoke_seconds),
    }


def run(
    settings: Settings, stage: str, url: str, health_path: str, cwd: Path, env: Mapping[str, str]
) -> str:
    """Try one replica, or the stack, and return what the visitors say at the end.

    Args:
        settings: of the caller.
        stage: ``direct`` or ``mixed``.
        url: ``unix:/path/of/a.sock``, or of nginx with its prefix.
        health_path: a path that answers if the application is well.
        cwd: the folder of the application's code, for SMOKE_COMMAND.
        env: the application's environment, for the same.

    Raises:
        KitError: it found a fault, or could not decide.
    """
    command = settings.smoke_command
    if not command:
        command, cwd, env = line(settings), CHECKOUT, {"PATH": env["PATH"]}
    given = {**env, **variables(settings, health_path), "SMOKE_STAGE": stage, "SMOKE_URL": url}
    given["SMOKE_PARENT"] = str(os.getpid())
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            check=False,
            cwd=cwd,
            env=given,
            stdin=subprocess.DEVNULL,
            close_fds=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=settings.smoke_seconds + _MORE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise KitError(f"the smoke test ({stage}) does not end", *_hints(settings)) from error
    said = "\n".join(plain(text) for text in done.stdout.strip().splitlines()[-_LINES:])
    if done.returncode:
        raise KitError(
            f"the smoke test ({stage}) of the new release failed ({done.returncode}):\n{said}",
            *([_BLAME.format(settings.make("deploy"))] if stage == "mixed" else []),
            *_hints(settings),
        )
    return said.rpartition("\n")[2]


def _hints(settings: Settings) -> tuple[str, str]:
    make = settings.make
    return f"see its logs: {make('logs')}", f"`{make('down')}` stops everything"
