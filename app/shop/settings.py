"""The shop's configuration: read once from the environment, into values that cannot be wrong."""

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

_SHORTEST_SECRET = 16
_FEWEST_CHARACTERS = 8
_PLACEHOLDER = re.compile(
    r"change.?(me|this|it)|replace.?(me|this|it)|placeholder|example|insecure"
    r"|your.?(secret|key)|super.?secret|not.?(a|so|very)?.?secret|<.*>|\$\{",
    re.IGNORECASE,
)
_HOST = re.compile(r"\.?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
_MOST_HOPS = 8
_MOST_SECONDS = 86_400
_MOST_WORKERS = 256
_NEW_SECRET = "make one: python3 -c 'import secrets; print(secrets.token_hex(32))'"


class SettingsError(ValueError):
    """The environment cannot configure the shop.

    Args:
        reason: What is wrong, with the variable and its value.
        hint: What to do.
    """

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(f"{reason}\n  hint: {hint}")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The configuration of one instance of the shop.

    Attributes:
        secret_key: Signs the session cookie. The same for all replicas.
        redis_url: The store, as `UNSTICKY_STORE` takes it.
        wait: `UNSTICKY_WAIT`: on how many replicas of the store a change must be, and how long the
            store waits for that (ms): `1 100`.
        replica: The name of this replica, in logs and in `X-Served-By`.
        served_by: Whether answers name the worker that made them.
        trusted_hosts: Host names, lower case and without port, that requests may be for; a name
            with a leading dot includes its subdomains.
        proxy_hops: How many proxies in front set `X-Forwarded-*`.
        secure_cookie: Whether browsers reach the shop by TLS; the cookie is then `__Host-sid`.
        demo: Whether the demo's users exist: ada, grace and linus, whose passwords are their names.
        recent_login_seconds: How old a login may be for changing the password and for ending
            sessions.
        workers: How many processes serve this replica; half of them may hash passwords at once.
    """

    secret_key: str = field(repr=False)
    redis_url: str = field(repr=False)
    wait: str = ""
    replica: str = field(default_factory=socket.gethostname)
    served_by: bool = False
    trusted_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    proxy_hops: int = 1
    secure_cookie: bool = False
    demo: bool = False
    recent_login_seconds: int = 900
    workers: int = 2

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings from environment variables; an empty one counts as not set.

        Args:
            environ: By default the environment of the process.

        Raises:
            SettingsError: A variable is missing or cannot be used.
        """
        given = os.environ if environ is None else environ
        env = {name: value for name, value in given.items() if value}
        return cls(
            secret_key=_secret_key(env),
            redis_url=_store_url(env),
            wait=env.get("UNSTICKY_WAIT", ""),
            replica=_replica(env),
            served_by=_flag(env, "SERVED_BY"),
            trusted_hosts=_hosts(env),
            proxy_hops=_number(env, "PROXY_HOPS", 1, range(_MOST_HOPS + 1)),
            secure_cookie=_flag(env, "SESSION_COOKIE_SECURE"),
            demo=_flag(env, "SHOP_DEMO"),
            recent_login_seconds=_number(
                env, "RECENT_LOGIN_SECONDS", 900, range(1, _MOST_SECONDS + 1)
            ),
            workers=_number(env, "WORKERS", 2, range(1, _MOST_WORKERS + 1)),
        )


def _from_file(env: Mapping[str, str], name: str) -> str:
    """Return the value of `name`, or of the file that `<name>_FILE` names; empty without both."""
    value, path = env.get(name, ""), env.get(f"{name}_FILE")
    if not path:
        return value
    if value:
        raise SettingsError(f"{name} and {name}_FILE are both set", "keep one of them")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{name}_FILE={path!r} cannot be read: {error}",
            f"give a readable text file that holds the value of {name}",
        ) from error


def _secret_key(env: Mapping[str, str]) -> str:
    key, path = _from_file(env, "SECRET_KEY"), env.get("SECRET_KEY_FILE")
    name = f"SECRET_KEY_FILE={path!r}" if path else "SECRET_KEY"
    if not key:
        raise SettingsError(f"{name} is empty or not set: it signs the session cookie", _NEW_SECRET)
    # The messages do not show the key, because they end in logs.
    if len(key) < _SHORTEST_SECRET or len(set(key)) < _FEWEST_CHARACTERS:
        raise SettingsError(
            f"{name} is too easy to guess: at least {_SHORTEST_SECRET} characters, "
            f"{_FEWEST_CHARACTERS} of them different, are needed",
            _NEW_SECRET,
        )
    if _PLACEHOLDER.search(key):
        raise SettingsError(f"{name} is a placeholder that others know", _NEW_SECRET)
    return key


def _store_url(env: Mapping[str, str]) -> str:
    url = _from_file(env, "REDIS_URL")
    if not url:
        raise SettingsError(
            "REDIS_URL is not set: the shop keeps sessions, orders and accounts in Redis or Valkey",
            "start a stack with `make up`, or give a server: REDIS_URL=redis://localhost:6379/0",
        )
    return url


def _replica(env: Mapping[str, str]) -> str:
    name = env.get("REPLICA") or socket.gethostname()
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise SettingsError(
            f"REPLICA={name!r} cannot be used in a header",
            "use letters, digits, '.', '_' and '-', at most 64",
        )
    return name


def _flag(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "0")
    if value not in {"0", "1"}:
        raise SettingsError(f"{name}={value!r} is neither on nor off", "set 1 or 0")
    return value == "1"


def _number(env: Mapping[str, str], name: str, default: int, allowed: range) -> int:
    text = env.get(name, str(default))
    if not (text.isascii() and text.isdigit() and int(text) in allowed):
        raise SettingsError(
            f"{name}={text!r} is out of range", f"give {allowed[0]} to {allowed[-1]}"
        )
    return int(text)


def _hosts(env: Mapping[str, str]) -> tuple[str, ...]:
    text = env.get("TRUSTED_HOSTS", "localhost,127.0.0.1,[::1]")
    hosts = tuple(host.strip().lower() for host in text.split(",") if host.strip())
    wrong = [host for host in hosts if not _HOST.fullmatch(host)]
    if wrong or not hosts:
        raise SettingsError(
            f"TRUSTED_HOSTS={text!r}: {wrong[0]!r} is not a host name"
            if wrong
            else f"TRUSTED_HOSTS={text!r} names no host, so every request would be refused",
            "list names without scheme and port, such as shop.example,.shop.example,[::1]",
        )
    return hosts
