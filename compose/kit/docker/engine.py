"""The Docker engine and Compose, by their command line."""

import re
import subprocess
from collections.abc import Mapping, Sequence

from kit.errors import KitError, Known

# `start_interval` of health checks, and `!override` in overlays.
_OLDEST_ENGINE = (25, 0, 0)
_OLDEST_COMPOSE = (2, 24, 4)
# The engine answers at once or hangs.
_TIMEOUT_SECONDS = 30
_SHOWN_LINES = 12

_WHERE = "https://docs.docker.com/engine/install/"
_WHERE_COMPOSE = "https://docs.docker.com/compose/install/"
_OR_LOCAL = "or leave RUNTIME unset: the local runtime needs no Docker"


# The first that is found counts.
_KNOWN = (
    Known(
        "permission denied while trying to connect",
        "you may not use the Docker engine: you cannot open its socket",
        (
            "join its group, then log in again: sudo usermod -aG docker $USER",
            "members of that group are root on this machine",
            _OR_LOCAL,
        ),
    ),
    Known(
        "Cannot connect to the Docker daemon|Is the docker daemon running|error during connect",
        "no Docker engine answers",
        (
            "start it (sudo systemctl start docker, or Docker Desktop), or set DOCKER_HOST",
            _OR_LOCAL,
        ),
    ),
    Known(
        "no space left on device",
        "the engine's disk is full",
        ("`docker system df` shows what uses it, `docker system prune` removes what is unused",),
    ),
    Known(
        "non-overlapping IPv4 address pool",
        "the engine has no addresses left for this stack's three networks",
        (
            "`docker network prune` removes unused networks",
            "default-address-pools in the engine's daemon.json adds addresses",
        ),
    ),
    Known(
        "port is already allocated|address already in use|ports are not available",
        "another program listens on a port that nginx needs",
        ("choose others: make up RUNTIME=docker PORT=8081 TLS_PORT=8444",),
    ),
    Known(
        "error mounting|bind source path does not exist|invalid mount config",
        "the engine cannot mount a file or folder of this host",
        (
            "the engine must run on this host and see the checkout and STATE_DIR",
            "Docker Desktop shares only the folders in its settings",
        ),
    ),
)


class Engine:
    """The engine that ``docker`` speaks to."""

    def require(self) -> None:
        """Check that engine and Compose answer, and are new enough."""
        version = self.ask("version", "--format", "{{.Server.Version}}")
        if _parsed(version) < _OLDEST_ENGINE:
            raise _too_old(f"engine {version}", _OLDEST_ENGINE, _WHERE)
        try:
            compose = self.ask("compose", "version", "--short")
        except KitError as error:
            raise KitError(
                "Docker Compose v2 is not installed: there is no command `docker compose`",
                f"install docker-compose-plugin, or docker-compose of Debian 13: {_WHERE_COMPOSE}",
                _OR_LOCAL,
            ) from error
        if _parsed(compose) < _OLDEST_COMPOSE:
            raise _too_old(f"Compose {compose}", _OLDEST_COMPOSE, _WHERE_COMPOSE)

    def ask(
        self, *arguments: str, env: Mapping[str, str] | None = None, text: str | None = None
    ) -> str:
        """Run ``docker`` with an environment and a standard input; return what it printed."""
        done = self.attempt(*arguments, env=env, text=text)
        if done.returncode:
            raise explained(arguments, done.stderr or done.stdout)
        return done.stdout.strip()

    def attempt(
        self, *arguments: str, env: Mapping[str, str] | None = None, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Do the same, but return the exit status and the output of a failure, too."""
        quick = arguments[:1] == ("version",)
        try:
            return subprocess.run(
                ["docker", *arguments],
                check=False, env=env, input=text, capture_output=True, text=True,
                errors="replace", timeout=_TIMEOUT_SECONDS if quick else None,
                stdin=subprocess.DEVNULL if text is None else None,
            )  # fmt: skip
        except (FileNotFoundError, PermissionError) as error:
            raise KitError(
                "Docker is not installed: there is no program `docker` on the PATH",
                f"install it: {_WHERE}",
                _OR_LOCAL,
            ) from error
        except subprocess.TimeoutExpired as error:
            raise KitError(
                f"the Docker engine does not answer within {_TIMEOUT_SECONDS} s",
                "restart it (sudo systemctl restart docker, or Docker Desktop)",
                _OR_LOCAL,
            ) from error


def explained(arguments: Sequence[str], said: str) -> KitError:
    """Turn the output of a failed command into an error with hints."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if known := Known.find(_KNOWN, said):
        found = [line for line in lines if re.search(known.pattern, line, re.IGNORECASE)]
        return KitError(f"{known.problem}\n{found[-1]}", *known.hints)
    words = [a for a in arguments if not a.startswith("-") and "/" not in a][:4]
    return KitError(
        f"`docker {' '.join(words)}` failed. Its output:\n"
        + ("\n".join(lines[-_SHOWN_LINES:]) or "(nothing)"),
        "`make status RUNTIME=docker` shows what runs, `make down RUNTIME=docker` stops it",
    )


def _parsed(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
    # A build without a number is one of a developer, and new.
    return tuple(int(part or 0) for part in found.groups()) if found else (999,)


def _too_old(what: str, oldest: tuple[int, ...], where: str) -> KitError:
    return KitError(
        f"Docker {what} is too old: {'.'.join(map(str, oldest))} is the oldest",
        f"upgrade it: {where}",
        _OR_LOCAL,
    )
