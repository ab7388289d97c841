"""The shop's configuration: parsed once, at the edge, into values that cannot be wrong."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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


class SettingsError(ValueError):
    """The environment cannot configure the shop; the message says why and how to mend it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What an instance of the shop needs to know.

    Attributes:
        secret_key: Signs the session cookie. The same for all replicas.
        redis_url: Where sessions live; ``None`` means in this process's memory,
            which only a single worker can do.
        replica: Name of this replica in logs and in ``X-Served-By``.
        served_by: Whether answers say which worker made them.
        trusted_hosts: Host names, lower case and without port, that requests
            may be for; one with a leading dot stands for its subdomains too.
        proxy_hops: How many proxies in front set ``X-Forwarded-*``.
        secure_cookie: Whether browsers reach the shop by TLS; the cookie is
            then ``__Host-sid``.
        demo: Whether the demo's users exist: ada, grace and linus, whose passwords are their names.
        recent_login_seconds: How old a login may be for changing the password and for ending
            sessions.
    """

    secret_key: str = field(repr=False)
    redis_url: str | None = field(default=None, repr=False)
    replica: str = field(default_factory=socket.gethostname)
    served_by: bool = False
    trusted_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    proxy_hops: int = 1
    secure_cookie: bool = False
    demo: bool = False
    recent_login_seconds: int = 900

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from environment variables; an empty one counts as not set.

        Args:
            environ: Where to look; the process's environment by default.

        Raises:
            SettingsError: If a variable is missing or cannot be used.
        """
        given = os.environ if environ is None else environ
        env = {name: value for name, value in given.items() if value}
        return cls(
            secret_key=_secret_key(env),
            redis_url=_from_file(env, "REDIS_URL"),
            replica=_replica(env),
            served_by=_flag(env, "SERVED_BY"),
            trusted_hosts=_hosts(env),
            proxy_hops=_hops(env),
            secure_cookie=_flag(env, "SESSION_COOKIE_SECURE"),
            demo=_flag(env, "SHOP_DEMO"),
            recent_login_seconds=_seconds(env, "RECENT_LOGIN_SECONDS", 900),
        )


def _from_file(env: Mapping[str, str], name: str) -> str | None:
    """Return what ``name`` holds, or the file that ``<name>_FILE`` names; None for neither."""
    value, path = env.get(name), env.get(f"{name}_FILE")
    if value and path:
        raise SettingsError(
            f"{name} and {name}_FILE are both set: keep one, to make clear which counts."
        )
    if not path:
        return value
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{name}_FILE={path!r} cannot be read ({error}): give a readable text file that holds "
            f"the value of {name}."
        ) from error


def _secret_key(env: Mapping[str, str]) -> str:
    key, path = _from_file(env, "SECRET_KEY"), env.get("SECRET_KEY_FILE")
    name = f"SECRET_KEY_FILE={path!r}" if path else "SECRET_KEY"
    make = "make one with: python3 -c 'import secrets; print(secrets.token_hex(32))'"
    if not key:
        raise SettingsError(f"{name} is empty or not set. It signs the session cookie; {make}")
    # The messages do not show the key: they end in logs.
    if len(key) < _SHORTEST_SECRET or len(set(key)) < _FEWEST_CHARACTERS:
        raise SettingsError(
            f"{name} is too easy to guess (at least {_SHORTEST_SECRET} characters, "
            f"{_FEWEST_CHARACTERS} of them different, are needed); {make}"
        )
    if _PLACEHOLDER.search(key):
        raise SettingsError(f"{name} holds a placeholder that others know, too; {make}")
    return key


def _replica(env: Mapping[str, str]) -> str:
    name = env.get("REPLICA") or socket.gethostname()
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", name):
        raise SettingsError(
            f"REPLICA={name!r} cannot stand in a header: "
            "use letters, digits, '.', '_' and '-', at most 64."
        )
    return name


def _flag(env: Mapping[str, str], name: str) -> bool:
    value = env.get(name, "0")
    if value not in {"0", "1"}:
        raise SettingsError(f"{name}={value!r} is neither on nor off: set 1 or 0.")
    return value == "1"


def _seconds(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, str(default))
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _MOST_SECONDS):
        raise SettingsError(
            f"{name}={text!r} is not a number of seconds: give 1 to {_MOST_SECONDS}."
        )
    return int(text)


def _hosts(env: Mapping[str, str]) -> tuple[str, ...]:
    text = env.get("TRUSTED_HOSTS", "localhost,127.0.0.1,[::1]")
    hosts = tuple(host.strip().lower() for host in text.split(",") if host.strip())
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise SettingsError(
                f"TRUSTED_HOSTS={text!r}: {host!r} is not a host name: list names without scheme "
                "and port, commas between, such as shop.example,.shop.example,[::1]."
            )
    if not hosts:
        raise SettingsError(
            f"TRUSTED_HOSTS={text!r} names no host, every request would be refused: list one."
        )
    return hosts


def _hops(env: Mapping[str, str]) -> int:
    text = env.get("PROXY_HOPS", "1")
    if not (text.isascii() and text.isdigit() and int(text) <= _MOST_HOPS):
        raise SettingsError(
            f"PROXY_HOPS={text!r} is not a number of proxies: give 0 to {_MOST_HOPS}."
        )
    return int(text)
