"""The URL that names a service, which Sentinels watch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from ...errors import ConfigurationError

SCHEMES: Final = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
"""Each with the scheme of a single server."""

PORT: Final = 26379
"""Where a Sentinel listens unless its URL says otherwise."""

_REST: Final = re.compile(
    r"(?:(?P<login>[^@/?#]*)@)?(?P<hosts>[^@/?#]*)"
    r"(?:/(?P<service>[^/?#]*))?(?:/(?P<database>\d*))?/?(?:\?(?P<options>[^#]*))?"
)
_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:\s]+)(?::(?P<port>\d{1,5}))?")
_SHAPE: Final = (
    "write it as redis+sentinel://user:password@sentinel-1:26379,sentinel-2:26379/service/0, with "
    "/ as %2F, # as %23, ? as %3F and @ as %40 in a password"
)


@dataclass(frozen=True, slots=True)
class Place:
    """What a URL with Sentinels names.

    Attributes:
        service: the name under which the Sentinels watch the primary.
        server: a URL with what is true of each server: login, database and options. Its host is
            the first Sentinel's, and means nothing.
        sentinels: a URL for each Sentinel.
    """

    service: str
    server: str
    sentinels: tuple[str, ...]

    @classmethod
    def parse(cls, url: str) -> Place:
        """Read a URL that begins with one of `SCHEMES`.

        Raises:
            ConfigurationError: it cannot be read. No part of it is repeated, because each may be a
                piece of the password.
        """
        scheme, _, rest = url.partition("://")
        found = _REST.fullmatch(rest)
        if found is None:
            raise _malformed(scheme, "has more parts than these")
        service = unquote(found["service"] or "")
        if not service or (service.isdigit() and not found["database"]):
            raise _malformed(scheme, "names no service")
        if not re.fullmatch(r"[\w.-]+", service, re.ASCII):
            raise _malformed(
                scheme, "names a service that has other characters than A-Z a-z 0-9 . - _"
            )
        hosts = [_host(scheme, host) for host in found["hosts"].split(",")]
        options, own = _options(scheme, found["options"] or "")
        login = "" if found["login"] is None else f"{found['login']}@"
        single = SCHEMES[scheme]
        server = f"{single}://{login}{hosts[0]}/{found['database'] or ''}{_query(options)}"
        return cls(service, server, tuple(f"{single}://{host}{_query(own)}" for host in hosts))


def _host(scheme: str, text: str) -> str:
    found = _HOST.fullmatch(text)
    if found is None:
        raise _malformed(scheme, "has a Sentinel that is no host and port")
    port = int(found["port"] or PORT)
    if not 0 < port < 65_536:
        raise _malformed(scheme, "has a port that is not between 1 and 65535")
    return f"{found['host']}:{port}"


def _options(scheme: str, query: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the options of the servers, and those of the Sentinels."""
    try:
        given = dict(parse_qsl(query, strict_parsing=True)) if query else {}
    except ValueError:
        raise _malformed(scheme, "has options that are not name=value") from None
    own = {name: given[name] for name in given if name.startswith("ssl_")}
    for name in [name for name in given if name.startswith("sentinel_")]:
        if name not in {"sentinel_username", "sentinel_password"}:
            raise _malformed(scheme, "has an option for the Sentinels that is not their login")
        own[name.removeprefix("sentinel_")] = given.pop(name)
    return given, own


def _query(options: dict[str, str]) -> str:
    return f"?{urlencode(options, quote_via=quote)}" if options else ""


def _malformed(scheme: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"the store's {scheme}:// URL (it may hold a password, so it is not shown) {what}: {_SHAPE}"
    )
