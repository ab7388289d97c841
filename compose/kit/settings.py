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
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from kit import dotenv
from kit.errors import KitError
from kit.system import folders, store_url
from kit.values import Reader, choice, file, folder, integer, matching, path, switch

CHECKOUT = Path(__file__).resolve().parents[2]
"""The checkout that this kit is part of."""

SHOP = CHECKOUT / "app"
"""The folder of the shop's code."""

OVERLAYS = ("dev", "grafana", "isolated", "tls", "valkey")
"""The files ``compose.<name>.yaml`` that a caller can choose."""

# `make loadtest` and `make capacity` read these.
_LOAD = frozenset({
    "ACCOUNTS", "ARRIVALS", "DURATION", "HOST", "JOURNEYS", "PROCESSES", "PROFILE", "RATE",
    "SCENARIO", "SHAPE", "SLO", "STEP", "STOP", "SWEEP", "THINK", "USERS",
})  # fmt: skip

# compose/*.yaml reads these: they go to Compose unchanged, and not to replicas.
_COMPOSE = frozenset({
    "APP_CPUS", "APP_ENV_FILE", "APP_IMAGE", "APP_MEMORY", "APP_REQUIREMENTS", "BIND_ADDRESS",
    "BLACKBOX_IMAGE", "COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "GRAFANA_IMAGE", "GRAFANA_PORT",
    "HEALTH_PATH", "MONGODB_IMAGE", "NGINX_CPUS", "NGINX_HSTS_SECONDS", "NGINX_GZIP",
    "NGINX_IDEMPOTENT_PATHS", "NGINX_IMAGE", "NGINX_LOGIN_BURST", "NGINX_LOGIN_PATHS",
    "NGINX_LOGIN_RATE", "NGINX_MAX_BODY_SIZE", "NGINX_MEMORY", "NGINX_PREFIX", "NGINX_STATIC_PATH",
    "NGINX_UPSTREAM_KEEPALIVE", "NGINX_WORKER_PROCESSES", "PROMETHEUS_IMAGE", "PROMETHEUS_PORT",
    "PYTHON_IMAGE",
    "REDIS_CPUS", "REDIS_EXPORTER_IMAGE", "REDIS_HEALTH_PASSWORD_FILE", "REDIS_IMAGE",
    "REDIS_MEMORY", "REDIS_URL_FILE", "REDIS_USERS_FILE", "SCHEDULER_COMMAND", "SURGE", "TLS_DIR",
    "VALKEY_IMAGE", "WORKER_COMMAND",
})  # fmt: skip

# Other names for the same: Gunicorn's and Heroku's, and one of an older version of this kit.
_ALIASES = {"WORKERS": "WEB_CONCURRENCY", "NGINX_IDEMPOTENT_PATHS": "NGINX_KEYED_PATHS"}

# The application's own settings, which the kit does not read.
_APPLICATION = (
    *("UNSTICKY_", "FLASK_", "SESSION_COOKIE_", "LOG_LEVEL", "RECENT_LOGIN_SECONDS"),
    "OTEL_",
)

# What nginx does for an application unless a variable says otherwise.
_NGINX = {
    "NGINX_GZIP": "on",
    "NGINX_HSTS_SECONDS": "31536000",
    "NGINX_IDEMPOTENT_PATHS": "",
    "NGINX_LOGIN_BURST": "40",
    "NGINX_LOGIN_PATHS": "",
    "NGINX_LOGIN_RATE": "3r/s",
    "NGINX_MAX_BODY_SIZE": "16m",
    "NGINX_PREFIX": "",
    "NGINX_STATIC_PATH": "/static/",
}
# And for the shop, which honours an Idempotency-Key, and whose own limit of a body is the same.
_SHOPS_NGINX = {
    "NGINX_IDEMPOTENT_PATHS": "/api/(cart/items|checkout)",
    "NGINX_LOGIN_PATHS": "/login|/api/login",
    "NGINX_MAX_BODY_SIZE": "64k",
}


def _store_url(_name: str, url: str | None, _folder: Path) -> str | None:
    if url is not None and (problem := store_url.problem(url)):
        raise KitError(
            f"REDIS_URL cannot be used: {problem}",
            "for example: redis://user:password@127.0.0.1:6379/0 or unix:///run/redis.sock?db=0",
            "or unset it to use the kit's own store",
        )
    return url


def _mongodb_url(_name: str, url: str | None, _folder: Path) -> str | None:
    if url is not None and not url.startswith(("mongodb://", "mongodb+srv://")):
        raise KitError(
            "MONGODB_URL cannot be used: it does not begin with mongodb:// or mongodb+srv://",
            "for example: mongodb://user:password@mongodb.example/unsticky?replicaSet=rs0",
        )
    return url


def _overlays(_name: str, text: str | None, _folder: Path) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(filter(None, re.split(r"[,\s]+", text or ""))))
    for name in wanted:
        if name not in OVERLAYS:
            raise KitError(
                f"OVERLAYS={name} is not one of {', '.join(OVERLAYS)}",
                "for example: make up RUNTIME=docker OVERLAYS=tls,valkey",
                "to use a store of your own, set REDIS_URL",
            )
    return wanted


def _proxies(name: str, text: str | None, _folder: Path) -> tuple[str, ...]:
    # Also as nginx writes them, and as Compose needs them: set_real_ip_from 10.0.0.0/8;
    found = tuple(re.findall(r"[^,;\s]+", (text or "").replace("set_real_ip_from", "")))
    for each in found:
        try:
            ip_network(each)
        except ValueError as error:
            raise KitError(
                f"{name}={each} is not an address or a network: {error}",
                f"for example: {name}=10.0.0.0/8,2001:db8::/32",
            ) from error
    return found


_APP = "module:object or module:factory(), such as shop:create_app()"
_SIZE = "a size such as 256mb or 2gb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the caller wants of the stack. Times are in seconds; paths are absolute.

    A field with a reader has the value of the variable of its name, in capitals.
    """

    port: Annotated[int, integer(8080, 1, 65535)]
    tls_port: Annotated[int, integer(8443, 1, 65535)]
    replicas: Annotated[int, integer(2, 1, 64)]
    workers: Annotated[int, integer(2, 1, 64)]
    worker_class: Annotated[str, choice("sync", "gthread", "gevent")]
    threads: Annotated[int, integer(1, 1, 256)]
    runtime: Annotated[str, choice("local", "docker")]
    overlays: Annotated[tuple[str, ...], _overlays]
    app: Annotated[str, matching("shop:create_app()", r"([\w.]+(:[\w.]+(\(.*\))?)?)?", _APP)]
    """The WSGI application; empty if it is to be found."""
    app_dir: Annotated[Path, path(str(SHOP))]
    """The folder of the application's code."""
    app_build: Annotated[bool, switch(default=False)]
    """Whether source packages are built."""
    app_overrides: Annotated[Path | None, file(os.R_OK)]
    data_dir: Annotated[Path | None, path(None)]
    release_command: Annotated[str, matching("", ".*", "a shell command")]
    smoke_command: Annotated[str, matching("", ".*", "a shell command")]
    smoke_seconds: Annotated[int, integer(15, 0, 3_600)]
    dir: Annotated[Path | None, path(None)]
    """The folder that `make init` writes to."""
    state_dir: Annotated[Path, path(".state")]
    venv_dir: Annotated[Path, path(".state/venv")]
    redis_url: Annotated[str | None, _store_url]
    store: Annotated[str, choice("single", "sentinel", "mongodb")]
    """Whether the kit's own store is one server, or fails over, or sessions are in MongoDB."""
    mongodb_url: Annotated[str | None, _mongodb_url]
    mongod_bin: Annotated[Path | None, file(os.X_OK)]
    redis_min_replicas: Annotated[int, integer(0, 0, 2)]
    redis_maxmemory: Annotated[str, matching("256mb", r"[1-9]\d*([kmg]b?)?", _SIZE)]
    redis_server: Annotated[Path | None, file(os.X_OK)]
    nginx_bin: Annotated[Path | None, file(os.X_OK)]
    nginx_static_dir: Annotated[Path | None, folder]
    trusted_proxies: Annotated[tuple[str, ...], _proxies]
    request_seconds: Annotated[int, integer(30, 1, 86_400)]
    secret_key: Annotated[str | None, lambda _name, text, _folder: text]
    secret_key_file: Annotated[Path | None, file(os.R_OK)]
    shop_demo: Annotated[bool, switch(default=True)]
    served_by: Annotated[bool, switch(default=True)]
    trusted_hosts: Annotated[str, matching("localhost,127.0.0.1,[::1]", ".*", "a list of hosts")]
    proxy_hops: Annotated[int, integer(1, 0, 8)]
    ready_timeout: Annotated[int, integer(30, 1, 600)]
    metrics: Annotated[int, integer(1, 0, 64_000)]
    """0: none; 1: each replica has some, in the local runtime at a socket file; else: the port."""
    observe: Annotated[int, integer(0, 0, 65_000)]
    """0: no Prometheus; 1: one beside the stack; else: its port."""
    prometheus_bin: Annotated[Path | None, file(os.X_OK)]
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
            return f"https://localhost:{self.tls_port}{self.prefix}"
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    @property
    def prefix(self) -> str:
        """The path below which nginx publishes the application."""
        return self.of_nginx["NGINX_PREFIX"]

    @property
    def own_store(self) -> bool:
        """Whether the kit runs a Redis or Valkey: nobody named one, and something needs it.

        The shop keeps its own records there, even if its sessions are in MongoDB.
        """
        return self.redis_url is None and not (self.in_mongodb and self.is_foreign)

    @property
    def in_mongodb(self) -> bool:
        """Whether sessions are in MongoDB."""
        return self.store == "mongodb"

    @property
    def metrics_port(self) -> int:
        """The port of the metrics; in the local runtime the number of a replica is added."""
        beside_prometheus = self.observe_port + 10 if self.observe else 9200
        return self.metrics if self.metrics > 1 else beside_prometheus

    @property
    def observe_port(self) -> int:
        """The port of Prometheus; the next one is that of the store's exporter."""
        return self.observe if self.observe > 1 else 9190

    @property
    def of_nginx(self) -> dict[str, str]:
        """The variables of nginx's templates that both runtimes set alike."""
        defaults = _NGINX | (_SHOPS_NGINX if self.is_shop else {})
        # Sync workers close every connection.
        defaults["NGINX_UPSTREAM_KEEPALIVE"] = "0" if self.worker_class == "sync" else "16"
        return {
            **{name: self.compose.get(name, text) for name, text in defaults.items()},
            "NGINX_TRUSTED_PROXIES": " ".join(
                f"set_real_ip_from {each};" for each in self.trusted_proxies
            ),
        }

    @property
    def is_foreign(self) -> bool:
        """Whether the application is not in this checkout's ``app/``."""
        return self.app_dir != SHOP

    @property
    def is_shop(self) -> bool:
        """Whether the application is the shop, and not another one in ``app/``."""
        return self.app.startswith("shop:") and not self.is_foreign

    @property
    def bind_address(self) -> str:
        """The address of this host on which nginx in a container is published."""
        return self.compose.get("BIND_ADDRESS", "127.0.0.1")

    @property
    def of_replicas(self) -> dict[str, str]:
        """The variables of Gunicorn and of the shop that both runtimes give to replicas."""
        return {
            "APP": self.app,
            "WORKERS": str(self.workers),
            "WORKER_CLASS": self.worker_class,
            "THREADS": str(self.threads),
            "SHOP_DEMO": str(int(self.shop_demo)),
            "SERVED_BY": str(int(self.served_by)),
            "TRUSTED_HOSTS": self.trusted_hosts,
            "PROXY_HOPS": str(self.proxy_hops),
            "REQUEST_SECONDS": str(self.request_seconds),
        }

    def make(self, verb: str) -> str:
        """Return the command of a verb for this stack, as it stands in hints."""
        return f"make {verb} RUNTIME=docker" if self.runtime == "docker" else f"make {verb}"


_READERS: dict[str, Reader] = {
    name.upper(): hint.__metadata__[0]
    for name, hint in get_type_hints(Settings, include_extras=True).items()
    if hasattr(hint, "__metadata__")
}
_NAMES = frozenset(_READERS)
# The Makefile and the tests read some of these: they do not go to replicas.
_KNOWN = {*_NAMES, *_COMPOSE, *_LOAD, *_ALIASES.values(), "PYTHON", "REQUIRE_CONTAINERS"}


def load(environ: Mapping[str, str] = os.environ, checkout: Path = CHECKOUT) -> Settings:
    """Return the settings for a checkout."""
    file_values = dotenv.read(checkout / ".env")
    ours = {**environ, "HOST": ""} if foreign_host(environ) else environ
    given: dict[str, str] = {}
    for values in (file_values, ours):
        for name in _NAMES | _COMPOSE | _LOAD:
            if text := values.get(name) or values.get(_ALIASES.get(name, "")):
                given[name] = text
    extra = {n: v for n, v in file_values.items() if n not in _KNOWN}
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
    threaded = given.get("WORKER_CLASS") == "gthread"
    texts = {
        "VENV_DIR": str(Path(given.get("STATE_DIR", ".state"), "venv")),
        "THREADS": "4" if threaded else "1",
        **({"APP": ""} if {"APP_DIR", "DIR"} & given.keys() else {}),
        **given,
    }
    values: dict[str, Any] = {
        name.lower(): read(name, texts.get(name), checkout) for name, read in _READERS.items()
    }
    settings = Settings(
        **values,
        service=environ.get("SERVICE") or None,
        arguments=_arguments(environ.get("ARGS", "")),
        application=application,
        compose={name: given[name] for name in _COMPOSE if name in given},
        load={name: given[name] for name in _LOAD if name in given},
    )
    folders.require_own("STATE_DIR", settings.state_dir, checkout)
    folders.require_own("VENV_DIR", settings.venv_dir, checkout)
    if settings.secret_key and settings.secret_key_file:
        raise KitError("both SECRET_KEY and SECRET_KEY_FILE are set", "unset one of the two")
    if settings.threads > 1 and not threaded:
        raise KitError(
            f"THREADS={settings.threads} needs WORKER_CLASS=gthread; other workers have one thread",
            f"for example: make up WORKER_CLASS=gthread THREADS={settings.threads}",
        )
    _require_replicas(settings)
    _require_mongodb(settings)
    if settings.observe and not settings.metrics:
        raise KitError("OBSERVE=1 needs metrics, and METRICS=0", "unset one of the two")
    if "grafana" in settings.overlays and not settings.observe:
        raise KitError("OVERLAYS=grafana needs Prometheus", "set OBSERVE=1, too")
    if settings.overlays and settings.runtime != "docker":
        wanted = f"OVERLAYS={','.join(settings.overlays)}"
        raise KitError(
            f"{wanted} needs RUNTIME=docker", f"for example: make up RUNTIME=docker {wanted}"
        )
    return settings


def _require_replicas(settings: Settings) -> None:
    """Refuse what needs a store with replicas if there will be none."""
    if settings.store == "sentinel" and settings.redis_url:
        raise KitError(
            "STORE=sentinel is about the kit's own store, and REDIS_URL names another one",
            "unset one of the two; REDIS_URL takes redis+sentinel:// URLs, too",
        )
    least, wait = settings.redis_min_replicas, settings.application.get("UNSTICKY_WAIT")
    if settings.in_mongodb and (least or wait):
        wanted = f"REDIS_MIN_REPLICAS={least}" if least else f"UNSTICKY_WAIT={wait}"
        raise KitError(
            f"{wanted} is about replicas of Redis, and STORE=mongodb keeps sessions elsewhere",
            "unset it: in MongoDB, most members have a change before it is answered",
        )
    if settings.store == "single" and (least or (wait and settings.own_store)):
        wanted = f"REDIS_MIN_REPLICAS={least}" if least else f"UNSTICKY_WAIT={wait}"
        raise KitError(
            f"{wanted} needs a store with replicas, and the kit's is one server",
            "set STORE=sentinel, too",
        )


def _require_mongodb(settings: Settings) -> None:
    """Refuse STORE=mongodb without one server, or with two."""
    if not settings.in_mongodb:
        return
    if settings.mongodb_url and settings.mongod_bin:
        raise KitError(
            "both MONGODB_URL and MONGOD_BIN are set, and sessions are in one server",
            "unset one of the two",
        )
    if settings.mongod_bin and settings.runtime == "docker":
        raise KitError(
            f"MONGOD_BIN={settings.mongod_bin} is a program of this machine, and containers have "
            "their own",
            "unset it: RUNTIME=docker starts MONGODB_IMAGE",
        )
    if settings.runtime == "local" and not (settings.mongodb_url or settings.mongod_bin):
        raise KitError(
            "STORE=mongodb needs a server, and neither MONGODB_URL nor MONGOD_BIN is set",
            "set the URL of yours: MONGODB_URL=mongodb://… (in .env, if it holds a password)",
            "or name a program that the kit starts: MONGOD_BIN=/usr/bin/mongod",
        )


def _arguments(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise KitError(f"ARGS={text} cannot be read: {error}", "close each quote") from error
