"""The Docker engine and Compose, by their command line; and whether they will do."""

import re
import subprocess
from collections.abc import Mapping, Sequence

from kit.errors import KitError

# `start_interval` of health checks, and `!override` in overlays.
_OLDEST_ENGINE = (25, 0, 0)
_OLDEST_COMPOSE = (2, 24, 4)
# The engine answers at once or hangs (seconds).
_PATIENCE = 30
_SHOWN_LINES = 12

_WHERE = "https://docs.docker.com/engine/install/"
_OR_LOCAL = "Or leave RUNTIME unset: the local runtime needs no Docker."

# What the engine and Compose say, and what that means. The first that is found counts.
_KNOWN: tuple[tuple[str, str, str], ...] = (
    (
        "permission denied while trying to connect",
        "You may not use the Docker engine: its socket is not open to you.",
        "Join its group and log in anew: sudo usermod -aG docker $USER\n"
        "Who is in that group is root on this machine. " + _OR_LOCAL,
    ),
    (
        "Cannot connect to the Docker daemon|Is the docker daemon running|error during connect",
        "No Docker engine answers.",
        "Start it (sudo systemctl start docker, or Docker Desktop), or set DOCKER_HOST.\n"
        + _OR_LOCAL,
    ),
    (
        "no space left on device",
        "The engine's disk is full.",
        "`docker system df` shows what takes it, `docker system prune` removes what is unused.",
    ),
    (
        "non-overlapping IPv4 address pool",
        "The engine has no addresses left for this stack's three networks.",
        (
            "`docker network prune` removes those that nobody uses; default-address-pools in its "
            "daemon.json gives it more."
        ),
    ),
    (
        "port is already allocated|address already in use|ports are not available",
        "A port that nginx is to be published on is taken.",
        "Choose others: make up RUNTIME=docker PORT=8081 TLS_PORT=8444",
    ),
    (
        "error mounting|bind source path does not exist|invalid mount config",
        "A file or folder of this host cannot be mounted into a container.",
        (
            "The engine must run on this host and see the checkout and STATE_DIR; Docker Desktop "
            "shares only the folders that its settings name."
        ),
    ),
)


class Engine:
    """The engine that ``docker`` speaks to."""

    def require(self) -> None:
        """Find out whether engine and Compose will do.

        Raises:
            KitError: one is missing, too old, or not for this caller.
        """
        version = self.ask("version", "--format", "{{.Server.Version}}")
        if _parsed(version) < _OLDEST_ENGINE:
            raise KitError(
                f"The Docker engine is {version}; {_dotted(_OLDEST_ENGINE)} or newer is needed.",
                f"Renew it: {_WHERE}\n{_OR_LOCAL}",
            )
        try:
            compose = self.ask("compose", "version", "--short")
        except KitError as error:
            raise KitError(
                "Docker Compose v2 is missing: `docker compose` is no command here.",
                "Install the plugin (docker-compose-plugin, or docker-compose of Debian 13): "
                f"https://docs.docker.com/compose/install/\n{_OR_LOCAL}",
            ) from error
        if _parsed(compose) < _OLDEST_COMPOSE:
            raise KitError(
                f"Docker Compose is {compose}; {_dotted(_OLDEST_COMPOSE)} or newer is needed.",
                f"Renew it: https://docs.docker.com/compose/install/\n{_OR_LOCAL}",
            )

    def ask(
        self, *arguments: str, env: Mapping[str, str] | None = None, text: str | None = None
    ) -> str:
        """Run ``docker`` with these arguments and return what it printed.

        Args:
            arguments: of the program.
            env: its whole environment; the caller's by default.
            text: its standard input.

        Raises:
            KitError: it failed; the message has its last words.
        """
        done = self.attempt(*arguments, env=env, text=text)
        if done.returncode:
            raise explained(arguments, done.stderr or done.stdout)
        return done.stdout.strip()

    def attempt(
        self, *arguments: str, env: Mapping[str, str] | None = None, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker`` and return how that went.

        Raises:
            KitError: there is no such program, or the engine hangs.
        """
        quick = arguments[:1] == ("version",)
        program = "docker"
        try:
            return subprocess.run(
                [program, *arguments],
                check=False, env=env, input=text, capture_output=True, text=True,
                errors="replace", timeout=_PATIENCE if quick else None,
                stdin=subprocess.DEVNULL if text is None else None,
            )  # fmt: skip
        except (FileNotFoundError, PermissionError) as error:
            raise KitError(
                "Docker is not installed: there is no program `docker` on the PATH.",
                f"Install it: {_WHERE}\n{_OR_LOCAL}",
            ) from error
        except subprocess.TimeoutExpired as error:
            raise KitError(
                f"The Docker engine has not answered within {_PATIENCE} s.",
                f"Restart it (sudo systemctl restart docker, or Docker Desktop).\n{_OR_LOCAL}",
            ) from error


def explained(arguments: Sequence[str], said: str) -> KitError:
    """Turn what a failed command said into a failure with its cure."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for pattern, problem, cure in _KNOWN:
        if re.search(pattern, said, re.IGNORECASE):
            last = next(line for line in reversed(lines) if re.search(pattern, line, re.IGNORECASE))
            return KitError(f"{problem}\n{last}", cure)
    words = [a for a in arguments if not a.startswith("-") and "/" not in a][:4]
    return KitError(
        f"docker {' '.join(words)} failed. It said:\n"
        + ("\n".join(lines[-_SHOWN_LINES:]) or "(nothing)"),
        "Mend what it names. `make status` shows what runs, `make down` ends it.",
    )


def _parsed(version: str) -> tuple[int, ...]:
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
    # A build without a number is somebody's own, and surely new.
    return tuple(int(part or 0) for part in found.groups()) if found else (999,)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
