"""The settings of a stack, parsed once into a value that cannot be wrong.

A name on make's command line wins over the environment, and that over ``.env``; an empty value
counts as not set. ``.env.example`` explains every name.
"""

import difflib
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kit import dotenv
from kit.errors import KitError
from kit.system import store_url
from kit.values import Values

CHECKOUT = Path(__file__).resolve().parents[2]
"""The checkout that this kit is part of."""

SHOP = CHECKOUT / "app"
"""The folder of the shop's code."""

WORKER_CLASSES = ("sync", "gthread", "gevent")
RUNTIMES = ("local", "docker")
OVERLAYS = ("dev", "tls", "valkey")
"""The files ``compose.<name>.yaml`` that a caller can choose."""

_NAMES = frozenset({
    "APP", "APP_BUILD", "APP_DIR", "APP_OVERRIDES", "DATA_DIR", "DIR", "NGINX_BIN", "OVERLAYS",
    "PORT", "PROXY_HOPS", "READY_TIMEOUT", "REDIS_MAXMEMORY", "REDIS_SERVER", "REDIS_URL",
    "RELEASE_COMMAND", "REPLICAS", "RUNTIME", "SECRET_KEY", "SECRET_KEY_FILE", "SERVED_BY",
    "SHOP_DEMO", "STATE_DIR", "THREADS", "TLS_PORT", "TRUSTED_HOSTS", "VENV_DIR", "WORKERS",
    "WORKER_CLASS",
})  # fmt: skip

# `make loadtest` and `make sweep` read these.
_LOAD = frozenset({
    "ACCOUNTS", "DURATION", "HOST", "JOURNEYS", "PROCESSES", "PROFILE", "RATE", "SCENARIO", "SHAPE",
    "SLO", "SWEEP", "THINK", "USERS",
})  # fmt: skip

# compose/*.yaml reads these: they go to Compose unchanged, and not to replicas.
_COMPOSE = frozenset({
    "APP_CPUS", "APP_ENV_FILE", "APP_IMAGE", "APP_MEMORY", "APP_REQUIREMENTS", "BIND_ADDRESS",
    "COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "HEALTH_PATH", "NGINX_CPUS", "NGINX_HSTS_SECONDS",
    "NGINX_IDEMPOTENT_PATHS", "NGINX_IMAGE", "NGINX_LOGIN_BURST", "NGINX_LOGIN_RATE",
    "NGINX_MEMORY", "NGINX_UPSTREAM_KEEPALIVE", "NGINX_WORKER_PROCESSES", "PYTHON_IMAGE",
    "REDIS_CPUS", "REDIS_HEALTH_PASSWORD_FILE", "REDIS_IMAGE", "REDIS_MEMORY", "REDIS_URL_FILE",
    "REDIS_USERS_FILE", "TLS_DIR", "VALKEY_IMAGE",
})  # fmt: skip

# Other names for the same: Gunicorn's and Heroku's, and one of an older version of this kit.
_ALIASES = {"WORKERS": "WEB_CONCURRENCY", "NGINX_IDEMPOTENT_PATHS": "NGINX_KEYED_PATHS"}

# The Makefile and the tests read these: they do not go to replicas.
_RESERVED = {*_COMPOSE, *_LOAD, *_ALIASES.values(), "PYTHON", "REQUIRE_CONTAINERS"}

# The application's own settings, which the kit does not read.
_APPLICATION = ("UNSTICKY_", "FLASK_", "SESSION_COOKIE_", "LOG_LEVEL", "RECENT_LOGIN_SECONDS")

# The shop honours an Idempotency-Key there, so nginx may send such a POST again.
_SHOPS_IDEMPOTENT_PATHS = "/api/(cart/items|checkout)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the caller wants of the stack. Times are in seconds; paths are absolute."""

    port: int
    tls_port: int
    replicas: int
    workers: int
    worker_class: str
    threads: int
    runtime: str
    overlays: tuple[str, ...]
    app: str
    """The WSGI application; empty if it is to be found."""
    app_dir: Path
    """The folder of the application's code."""
    dir: Path | None
    """The folder that `make init` writes to."""
    app_overrides: Path | None
    may_build: bool
    """Whether source packages are built."""
    data_dir: Path | None
    release_command: str
    state_dir: Path
    venv_dir: Path
    redis_url: str | None
    redis_maxmemory: str
    redis_server: Path | None
    nginx_bin: Path | None
    secret_key: str | None
    secret_key_file: Path | None
    shop_demo: bool
    served_by: bool
    trusted_hosts: str
    proxy_hops: int
    ready_timeout: int
    service: str | None
    """The one service that a verb is about."""
    arguments: tuple[str, ...]
    """What ``ARGS`` adds to the command of a check."""
    application: Mapping[str, str]
    """The application's own variables, and names of ``.env`` that are not the kit's."""
    compose: Mapping[str, str]
    """Names that only Compose reads: they go to it unchanged."""
    load: Mapping[str, str]
    """Names that only the load tests read."""

    @property
    def url(self) -> str:
        """The address of the stack for a browser on this machine."""
        if "tls" in self.overlays:
            # A certificate is for a name.
            return f"https://localhost:{self.tls_port}"
        return f"http://127.0.0.1:{self.port}"

    @property
    def own_store(self) -> bool:
        """Whether the kit runs the store, because ``REDIS_URL`` is not set."""
        return self.redis_url is None

    @property
    def idempotent_paths(self) -> str:
        """The paths whose POSTs nginx may send again; none for an application that is not ours."""
        return _SHOPS_IDEMPOTENT_PATHS if self.app.startswith("shop:") else ""

    @property
    def is_foreign(self) -> bool:
        """Whether the application is not in this checkout's ``app/``."""
        return self.app_dir != SHOP

    @property
    def upstream_keepalive(self) -> str:
        """How many idle connections nginx keeps to the replicas; sync workers close each."""
        return "0" if self.worker_class == "sync" else "16"

    @property
    def bind_address(self) -> str:
        """The address of this host on which nginx in a container is published."""
        return self.compose.get("BIND_ADDRESS", "127.0.0.1")

    def make(self, verb: str) -> str:
        """Return the command of a verb for this stack, as it stands in hints."""
        return f"make {verb} RUNTIME=docker" if self.runtime == "docker" else f"make {verb}"


def load(environ: Mapping[str, str] = os.environ, checkout: Path = CHECKOUT) -> Settings:
    """Return the settings for a checkout.

    Raises:
        KitError: a value cannot be used; the message names it, and a value that can.
    """
    file_values = dotenv.read(checkout / ".env")
    ours = {**environ, "HOST": ""} if foreign_host(environ) else environ
    given: dict[str, str] = {}
    for values in (file_values, ours):
        for name in _NAMES | _COMPOSE | _LOAD:
            if text := values.get(name) or values.get(_ALIASES.get(name, "")):
                given[name] = text
    extra = {n: v for n, v in file_values.items() if n not in _NAMES | _RESERVED}
    for name in extra:
        if close := difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.85):
            raise KitError(
                f".env sets {name}, which is not a setting of the kit",
                f"did you mean {close[0]}? names that the kit does not know go to the replicas",
            )
    application = {n: v for n, v in environ.items() if n.startswith(_APPLICATION)}
    try:
        return _parsed(given, checkout, environ, {**application, **extra})
    except KitError as error:
        # Such as a PORT that another program has exported.
        name = error.problem.partition("=")[0]
        if not environ.get(name) or _is_typed(name, environ):
            raise
        hint = f"{name} comes from the environment: `unset {name}`"
        raise KitError(error.problem, *error.hints, hint) from None


def foreign_host(environ: Mapping[str, str] = os.environ) -> str:
    """Return the HOST of another program, if any: conda and csh set it to the machine's name."""
    host = environ.get("HOST", "")
    return "" if "://" in host or _is_typed("HOST", environ) else host


def probe_host(trusted_hosts: str) -> str:
    """Return one of ``TRUSTED_HOSTS``, for requests that ask whether the application is ready."""
    hosts = [host.strip().lstrip(".") for host in trusted_hosts.split(",")]
    return "localhost" if "localhost" in hosts else hosts[0]


def _is_typed(name: str, environ: Mapping[str, str]) -> bool:
    """Whether a variable stands on make's command line, and not only in the environment."""
    return re.search(rf"(?:^|\s){name}=", environ.get("MAKEFLAGS", "")) is not None


def _parsed(
    given: Mapping[str, str],
    checkout: Path,
    environ: Mapping[str, str],
    application: Mapping[str, str],
) -> Settings:
    if "SECRET_KEY" in given and "SECRET_KEY_FILE" in given:
        raise KitError("both SECRET_KEY and SECRET_KEY_FILE are set", "unset one of the two")
    values = Values(given, checkout)
    state_dir = values.path("STATE_DIR", ".state")
    return Settings(
        port=values.integer("PORT", 8080, 1, 65535),
        tls_port=values.integer("TLS_PORT", 8443, 1, 65535),
        replicas=values.integer("REPLICAS", 2, 1, 64),
        workers=values.integer("WORKERS", 2, 1, 64),
        worker_class=values.choice("WORKER_CLASS", WORKER_CLASSES),
        threads=_threads(values, given),
        runtime=values.choice("RUNTIME", RUNTIMES),
        overlays=_overlays(given),
        app=values.matching("APP", "" if {"APP_DIR", "DIR"} & given.keys() else "shop:create_app()",
                            r"([\w.]+(:[\w.]+(\(.*\))?)?)?",
                            "module:object or module:factory(), such as shop:create_app()"),
        app_dir=values.folder("APP_DIR", SHOP),
        dir=values.path("DIR", "") if "DIR" in given else None,
        app_overrides=values.file("APP_OVERRIDES", os.R_OK),
        may_build=values.choice("APP_BUILD", ("0", "1")) == "1",
        data_dir=values.path("DATA_DIR", "") if "DATA_DIR" in given else None,
        release_command=given.get("RELEASE_COMMAND", ""),
        state_dir=state_dir,
        venv_dir=values.path("VENV_DIR", str(state_dir / "venv")),
        redis_url=_redis_url(given),
        redis_maxmemory=values.matching("REDIS_MAXMEMORY", "256mb", r"[1-9]\d*([kmg]b?)?",
                                        "a size such as 256mb or 2gb"),
        redis_server=values.file("REDIS_SERVER", os.X_OK),
        nginx_bin=values.file("NGINX_BIN", os.X_OK),
        secret_key=given.get("SECRET_KEY"),
        secret_key_file=values.file("SECRET_KEY_FILE", os.R_OK),
        shop_demo=values.choice("SHOP_DEMO", ("1", "0")) == "1",
        served_by=values.choice("SERVED_BY", ("1", "0")) == "1",
        trusted_hosts=given.get("TRUSTED_HOSTS", "localhost,127.0.0.1,[::1]"),
        proxy_hops=values.integer("PROXY_HOPS", 1, 0, 8),
        ready_timeout=values.integer("READY_TIMEOUT", 30, 1, 600),
        service=environ.get("SERVICE") or None,
        arguments=_arguments(environ.get("ARGS", "")),
        application=application,
        compose={name: given[name] for name in _COMPOSE if name in given},
        load={name: given[name] for name in _LOAD if name in given},
    )  # fmt: skip


def _threads(values: Values, given: Mapping[str, str]) -> int:
    threaded = given.get("WORKER_CLASS") == "gthread"
    threads = values.integer("THREADS", 4 if threaded else 1, 1, 256)
    if threads > 1 and not threaded:
        raise KitError(
            f"THREADS={threads} needs WORKER_CLASS=gthread; other workers have one thread",
            f"for example: make up WORKER_CLASS=gthread THREADS={threads}",
        )
    return threads


def _overlays(given: Mapping[str, str]) -> tuple[str, ...]:
    names = re.split(r"[,\s]+", given.get("OVERLAYS", "").strip(", "))
    wanted = tuple(dict.fromkeys(name for name in names if name))
    for name in wanted:
        if name not in OVERLAYS:
            raise KitError(
                f"OVERLAYS={name} is not one of {', '.join(OVERLAYS)}",
                "for example: make up RUNTIME=docker OVERLAYS=tls,valkey",
                "to use a store of your own, set REDIS_URL",
            )
    if wanted and given.get("RUNTIME") != "docker":
        raise KitError(
            f"OVERLAYS={','.join(wanted)} needs RUNTIME=docker",
            f"for example: make up RUNTIME=docker OVERLAYS={','.join(wanted)}",
        )
    return wanted


def _redis_url(given: Mapping[str, str]) -> str | None:
    url = given.get("REDIS_URL")
    if url is not None and (problem := store_url.problem(url)):
        raise KitError(
            f"REDIS_URL cannot be used: {problem}",
            "for example: redis://user:password@127.0.0.1:6379/0 or unix:///run/redis.sock?db=0",
            "or unset it to use the kit's own store",
        )
    return url


def _arguments(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise KitError(f"ARGS={text} cannot be read: {error}", "close each quote") from error
