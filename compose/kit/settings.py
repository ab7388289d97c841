"""The settings of a stack, parsed once into a value that cannot be wrong.

A name is looked up on make's command line, then in the environment, then in ``.env``; an empty
value counts as not given. ``.env.example`` explains every name.
"""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kit import dotenv
from kit.errors import KitError

PROJECT = Path(__file__).resolve().parents[2]
"""The checkout that this kit is part of."""

WORKER_CLASSES = ("sync", "gthread", "gevent")
RUNTIMES = ("local", "docker")
OVERLAYS = ("dev", "tls", "valkey")
"""Files ``compose.<name>.yaml`` that a caller may choose."""

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

# Read in compose/*.yaml: handed to Compose as they are, and not to replicas.
_COMPOSE = frozenset({
    "APP_CPUS", "APP_ENV_FILE", "APP_IMAGE", "APP_MEMORY", "APP_REQUIREMENTS", "BIND_ADDRESS",
    "COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "HEALTH_PATH", "NGINX_CPUS", "NGINX_HSTS_SECONDS",
    "NGINX_IMAGE", "NGINX_KEYED_PATHS", "NGINX_LOGIN_BURST", "NGINX_LOGIN_RATE", "NGINX_MEMORY",
    "NGINX_UPSTREAM_KEEPALIVE", "NGINX_WORKER_PROCESSES", "PYTHON_IMAGE", "REDIS_CPUS",
    "REDIS_HEALTH_PASSWORD_FILE", "REDIS_IMAGE", "REDIS_MEMORY", "REDIS_URL_FILE",
    "REDIS_USERS_FILE", "TLS_DIR", "VALKEY_IMAGE",
})  # fmt: skip

# Read by the Makefile and by tests: not for replicas.
_RESERVED = _COMPOSE | LOAD_NAMES | {"PYTHON", "REQUIRE_CONTAINERS"}


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
    """Names of ``.env`` that are not the kit's: handed to the replicas as they are."""
    compose: Mapping[str, str]
    """Names that only Compose reads: handed to it as they are."""

    @property
    def url(self) -> str:
        """Where the stack answers, as a browser on this machine writes it."""
        if "tls" in self.overlays:
            # The name that a certificate can be for.
            return f"https://localhost:{self.tls_port}"
        return f"http://127.0.0.1:{self.port}"

    @property
    def own_store(self) -> bool:
        """Whether the kit runs a store of its own, because no ``REDIS_URL`` was given."""
        return self.redis_url is None


def load(environ: Mapping[str, str] = os.environ, project: Path = PROJECT) -> Settings:
    """Return the settings for a checkout.

    Raises:
        KitError: a value is not usable; the message names the value and what would be.
    """
    file_values = dotenv.read(project / ".env")
    given = {name: file_values[name] for name in _NAMES if file_values.get(name)}
    given |= {name: environ[name] for name in _NAMES if environ.get(name)}
    extra = {n: v for n, v in file_values.items() if n not in _NAMES | _RESERVED}
    for name in extra:
        if close := difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.85):
            raise KitError(
                f".env sets {name}, which is not a setting of the kit.",
                f"Write {close[0]} if you meant that; other names are handed to the replicas.",
            )
    compose = {
        name: value for name in _COMPOSE if (value := environ.get(name) or file_values.get(name))
    }
    return _Reader(given, project).settings(extra, compose)


class _Reader:
    """Reads typed values out of text, with a message for each way to be wrong."""

    def __init__(self, given: Mapping[str, str], project: Path) -> None:
        self._given, self._project = given, project

    def settings(self, extra: Mapping[str, str], compose: Mapping[str, str]) -> Settings:
        if "SECRET_KEY" in self._given and "SECRET_KEY_FILE" in self._given:
            raise KitError("Both SECRET_KEY and SECRET_KEY_FILE are set.", "Unset one of the two.")
        state_dir = self._path("STATE_DIR", ".state")
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
            venv_dir=self._path("VENV_DIR", str(state_dir / "venv")),
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
                f"{name}={text} is not a whole number from {low} to {high}.",
                f"For example: make up {name}={default}",
            )
        return int(text)

    def _threads(self) -> int:
        threaded = self._given.get("WORKER_CLASS") == "gthread"
        threads = self._integer("THREADS", 4 if threaded else 1, 1, 256)
        if threads > 1 and not threaded:
            raise KitError(
                f"THREADS={threads} needs WORKER_CLASS=gthread; the others have one thread.",
                f"For example: make up WORKER_CLASS=gthread THREADS={threads}",
            )
        return threads

    def _overlays(self) -> tuple[str, ...]:
        given = re.split(r"[,\s]+", self._given.get("OVERLAYS", "").strip(", "))
        wanted = tuple(dict.fromkeys(name for name in given if name))
        for name in wanted:
            if name not in OVERLAYS:
                raise KitError(
                    f"OVERLAYS={name} is not one of {', '.join(OVERLAYS)}.",
                    "For example: make up RUNTIME=docker OVERLAYS=tls,valkey. "
                    "A store elsewhere is chosen by REDIS_URL.",
                )
        if wanted and self._given.get("RUNTIME") != "docker":
            raise KitError(
                f"OVERLAYS={','.join(wanted)} needs RUNTIME=docker.",
                f"For example: make up RUNTIME=docker OVERLAYS={','.join(wanted)}",
            )
        return wanted

    def _choice(self, name: str, choices: tuple[str, ...]) -> str:
        text = self._given.get(name, choices[0])
        if text not in choices:
            raise KitError(
                f"{name}={text} is not one of {', '.join(choices)}.",
                f"For example: make up {name}={choices[0]}",
            )
        return text

    def _matching(self, name: str, default: str, pattern: str, form: str) -> str:
        text = self._given.get(name, default)
        if not re.fullmatch(pattern, text, re.IGNORECASE):
            raise KitError(f"{name}={text} is not {form}.", f"For example: {name}={default}")
        return text

    def _path(self, name: str, default: str) -> Path:
        text = self._given.get(name, default)
        if not text.isprintable():
            raise KitError(
                f"{name}={text!r} has a control character in it.", "Choose another folder."
            )
        # Symbolic links stay: the caller's own name of the folder is the one in the messages.
        return Path(os.path.normpath(self._project / Path(text).expanduser()))

    def _program(self, name: str) -> Path | None:
        if name not in self._given:
            return None
        path = self._path(name, "")
        if not os.access(path, os.X_OK) or path.is_dir():
            raise KitError(
                f"{name}={path} is not a program that you may run.",
                f"Give its full path, or unset {name} to use the one that the kit installs.",
            )
        return path

    def _readable(self, name: str) -> Path | None:
        if name not in self._given:
            return None
        path = self._path(name, "")
        if not os.access(path, os.R_OK) or path.is_dir():
            raise KitError(f"{name}={path} is not a file that you may read.", "Give its full path.")
        return path

    def _redis_url(self) -> str | None:
        url = self._given.get("REDIS_URL")
        schemes = ("redis", "rediss", "unix")
        if url is not None and url.partition("://")[0] not in schemes:
            # The URL may hold a password: only its scheme is shown.
            raise KitError(
                f"REDIS_URL begins with {url.partition(':')[0]}:, which is no scheme of a store.",
                f"Begin it with one of {', '.join(s + '://' for s in schemes)}, "
                "or unset it to use the store that the kit runs.",
            )
        return url
