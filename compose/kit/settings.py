"""The settings of a stack, parsed once into a value that cannot be wrong.

A name on make's command line wins over the environment, and that over ``.env``; an empty value
counts as not set. ``.env.example`` explains every name.
"""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from kit import dotenv
from kit.errors import KitError
from kit.system import folders, store_url

CHECKOUT = Path(__file__).resolve().parents[2]
"""The checkout that this kit is part of."""

WORKER_CLASSES = ("sync", "gthread", "gevent")
RUNTIMES = ("local", "docker")
OVERLAYS = ("dev", "tls", "valkey")
"""The files ``compose.<name>.yaml`` that a caller can choose."""

_NAMES = frozenset({
    "APP", "NGINX_BIN", "OVERLAYS", "PORT", "PROXY_HOPS", "READY_TIMEOUT", "REDIS_MAXMEMORY",
    "REDIS_SERVER", "REDIS_URL", "REPLICAS", "RUNTIME", "SECRET_KEY", "SECRET_KEY_FILE",
    "SERVED_BY", "SHOP_DEMO", "STATE_DIR", "THREADS", "TLS_PORT", "TRUSTED_HOSTS", "VENV_DIR",
    "WORKERS", "WORKER_CLASS",
})  # fmt: skip

LOAD_NAMES = frozenset({
    "ACCOUNTS", "DURATION", "HOST", "JOURNEYS", "PROCESSES", "PROFILE", "RATE", "SCENARIO", "SHAPE",
    "SLO", "SWEEP", "THINK", "USERS",
})  # fmt: skip
"""Names that `make loadtest` and `make sweep` read."""

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
_RESERVED = {*_COMPOSE, *LOAD_NAMES, *_ALIASES.values(), "PYTHON", "REQUIRE_CONTAINERS"}

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
    extra: Mapping[str, str]
    """Names of ``.env`` that are not the kit's: they go to the replicas unchanged."""
    compose: Mapping[str, str]
    """Names that only Compose reads: they go to it unchanged."""

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
    def upstream_keepalive(self) -> str:
        """How many idle connections nginx keeps to the replicas; sync workers close each."""
        return "0" if self.worker_class == "sync" else "16"

    @property
    def application_variables(self) -> dict[str, str]:
        """The application's own variables: those of the environment and of ``.env``."""
        env = {name: text for name, text in os.environ.items() if name.startswith(_APPLICATION)}
        return {**env, **self.extra}

    def with_worker_class(self, worker_class: str) -> "Settings":
        """Return the same settings for another class of workers."""
        return replace(self, worker_class=worker_class, threads=1)

    def make(self, verb: str) -> str:
        """Return the command of a verb for this stack, as it stands in hints."""
        return f"make {verb} RUNTIME=docker" if self.runtime == "docker" else f"make {verb}"


def load(environ: Mapping[str, str] = os.environ, checkout: Path = CHECKOUT) -> Settings:
    """Return the settings for a checkout.

    Raises:
        KitError: a value cannot be used; the message names it, and a value that can.
    """
    file_values = dotenv.read(checkout / ".env")

    given: dict[str, str] = {}
    for values in (file_values, environ):
        for name in _NAMES | _COMPOSE:
            if text := values.get(name) or values.get(_ALIASES.get(name, "")):
                given[name] = text
    extra = {n: v for n, v in file_values.items() if n not in _NAMES | _RESERVED}
    for name in extra:
        if close := difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.85):
            raise KitError(
                f".env sets {name}, which is not a setting of the kit",
                f"did you mean {close[0]}? names that the kit does not know go to the replicas",
            )
    compose = {name: given[name] for name in _COMPOSE if name in given}
    try:
        return _Reader(given, checkout).settings(extra, compose)
    except KitError as error:
        # Such as a PORT that another program has exported.
        name = error.problem.partition("=")[0]
        if not environ.get(name) or is_typed(name, environ):
            raise
        hint = f"{name} comes from the environment: `unset {name}`"
        raise KitError(error.problem, *error.hints, hint) from None


def is_typed(name: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a variable stands on make's command line, and not only in the environment."""
    return re.search(rf"(?:^|\s){name}=", environ.get("MAKEFLAGS", "")) is not None


def probe_host(trusted_hosts: str) -> str:
    """Return one of ``TRUSTED_HOSTS``, for requests that ask whether the application is ready."""
    hosts = [host.strip().lstrip(".") for host in trusted_hosts.split(",")]
    return "localhost" if "localhost" in hosts else hosts[0]


class _Reader:
    """Turns text into typed values, with an error for each text that cannot be used."""

    def __init__(self, given: Mapping[str, str], checkout: Path) -> None:
        self._given, self._checkout = given, checkout

    def settings(self, extra: Mapping[str, str], compose: Mapping[str, str]) -> Settings:
        if "SECRET_KEY" in self._given and "SECRET_KEY_FILE" in self._given:
            raise KitError("both SECRET_KEY and SECRET_KEY_FILE are set", "unset one of the two")
        state_dir = self._own_folder("STATE_DIR", ".state")
        return Settings(
            port=self._integer("PORT", 8080, 1, 65535),
            tls_port=self._integer("TLS_PORT", 8443, 1, 65535),
            replicas=self._integer("REPLICAS", 2, 1, 64),
            workers=self._integer("WORKERS", 2, 1, 64),
            worker_class=self._choice("WORKER_CLASS", WORKER_CLASSES),
            threads=self._threads(),
            runtime=self._choice("RUNTIME", RUNTIMES),
            overlays=self._overlays(),
            app=self._matching("APP", "shop:create_app()", r"[\w.]+(:[\w.]+(\(.*\))?)?",
                               "module:object or module:factory(), such as shop:create_app()"),
            state_dir=state_dir,
            venv_dir=self._own_folder("VENV_DIR", str(state_dir / "venv")),
            redis_url=self._redis_url(),
            redis_maxmemory=self._matching("REDIS_MAXMEMORY", "256mb", r"[1-9]\d*([kmg]b?)?",
                                           "a size such as 256mb or 2gb"),
            redis_server=self._program("REDIS_SERVER"),
            nginx_bin=self._program("NGINX_BIN"),
            secret_key=self._given.get("SECRET_KEY"),
            secret_key_file=self._readable("SECRET_KEY_FILE"),
            shop_demo=self._choice("SHOP_DEMO", ("1", "0")) == "1",
            served_by=self._choice("SERVED_BY", ("1", "0")) == "1",
            trusted_hosts=self._given.get("TRUSTED_HOSTS", "localhost,127.0.0.1,[::1]"),
            proxy_hops=self._integer("PROXY_HOPS", 1, 0, 8),
            ready_timeout=self._integer("READY_TIMEOUT", 30, 1, 600),
            extra=extra,
            compose=compose,
        )  # fmt: skip

    def _integer(self, name: str, default: int, low: int, high: int) -> int:
        text = self._given.get(name, str(default))
        if not re.fullmatch(r"\d{1,6}", text, re.ASCII) or not low <= int(text) <= high:
            raise KitError(
                f"{name}={text} is not a whole number from {low} to {high}",
                f"for example: make up {name}={default}",
            )
        return int(text)

    def _threads(self) -> int:
        threaded = self._given.get("WORKER_CLASS") == "gthread"
        threads = self._integer("THREADS", 4 if threaded else 1, 1, 256)
        if threads > 1 and not threaded:
            raise KitError(
                f"THREADS={threads} needs WORKER_CLASS=gthread; other workers have one thread",
                f"for example: make up WORKER_CLASS=gthread THREADS={threads}",
            )
        return threads

    def _overlays(self) -> tuple[str, ...]:
        given = re.split(r"[,\s]+", self._given.get("OVERLAYS", "").strip(", "))
        wanted = tuple(dict.fromkeys(name for name in given if name))
        for name in wanted:
            if name not in OVERLAYS:
                raise KitError(
                    f"OVERLAYS={name} is not one of {', '.join(OVERLAYS)}",
                    "for example: make up RUNTIME=docker OVERLAYS=tls,valkey",
                    "to use a store of your own, set REDIS_URL",
                )
        if wanted and self._given.get("RUNTIME") != "docker":
            raise KitError(
                f"OVERLAYS={','.join(wanted)} needs RUNTIME=docker",
                f"for example: make up RUNTIME=docker OVERLAYS={','.join(wanted)}",
            )
        return wanted

    def _choice(self, name: str, choices: tuple[str, ...]) -> str:
        text = self._given.get(name, choices[0])
        if text not in choices:
            raise KitError(
                f"{name}={text} is not one of {', '.join(choices)}",
                f"for example: {name}={choices[0]}",
            )
        return text

    def _matching(self, name: str, default: str, pattern: str, form: str) -> str:
        text = self._given.get(name, default)
        if not re.fullmatch(pattern, text, re.IGNORECASE):
            raise KitError(f"{name}={text} is not {form}", f"for example: {name}={default}")
        return text

    def _path(self, name: str, default: str) -> Path:
        text = self._given.get(name, default)
        if not text.isprintable():
            raise KitError(f"{name}={text!r} contains a control character", "choose another folder")
        try:
            path = Path(text).expanduser()
        except RuntimeError as error:
            raise KitError(f"{name}={text} begins with nobody's home", "write the path") from error
        # Symbolic links stay, so that messages show the path that the caller wrote.
        return Path(os.path.normpath(self._checkout / path))

    def _own_folder(self, name: str, default: str) -> Path:
        path = self._path(name, default)
        folders.require_own(name, path, self._checkout)
        return path

    def _program(self, name: str) -> Path | None:
        if name not in self._given:
            return None
        path = self._path(name, "")
        if not os.access(path, os.X_OK) or path.is_dir():
            raise KitError(
                f"{name}={path} is not a program that you may run",
                f"give its full path, or unset {name} to use the packaged program",
            )
        return path

    def _readable(self, name: str) -> Path | None:
        if name not in self._given:
            return None
        path = self._path(name, "")
        if not os.access(path, os.R_OK) or path.is_dir():
            raise KitError(f"{name}={path} is not a file that you may read", "give its full path")
        return path

    def _redis_url(self) -> str | None:
        url = self._given.get("REDIS_URL")
        if url is not None and (problem := store_url.problem(url)):
            raise KitError(
                f"REDIS_URL cannot be used: {problem}",
                "for example: redis://user:password@127.0.0.1:6379/0 or unix:///run/redis.sock?db=0",
                "or unset it to use the kit's own store",
            )
        return url
