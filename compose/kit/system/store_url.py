"""The URL of the caller's store, which may hold a password: no message shows it."""

import re
import socket
from urllib.parse import unquote, urlsplit

_SCHEMES = ("redis", "rediss", "unix")
_SECONDS = 5.0


def problem(url: str) -> str:
    """Return what is wrong with a URL; empty if nothing is."""
    if url.partition("://")[0] not in _SCHEMES:
        return f"it does not begin with {', '.join(f'{scheme}://' for scheme in _SCHEMES)}"
    if "#" in url:
        return "it contains #, which a password writes as %23"
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        return "its host or its port cannot be read"
    if parts.scheme == "unix":
        return "" if parts.path and not host else "a socket's path begins behind three slashes"
    if not host or port == 0:
        return "it names no host"
    if not re.fullmatch(r"/?\d*", parts.path, re.ASCII):
        return "its database is not a number (a password writes / as %2F)"
    return ""


def refusal(url: str) -> str:
    """Connect to the store; return why that fails, empty if it does not."""
    parts = urlsplit(url)
    try:
        if parts.scheme == "unix":
            where = unquote(parts.path)
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_SECONDS)
                connection.connect(where)
        else:
            where = f"{parts.hostname} port {parts.port or 6379}"
            address = parts.hostname or "", parts.port or 6379
            socket.create_connection(address, _SECONDS).close()
    except OSError as error:
        return f"{where}: {error.strerror or error}"
    return ""
