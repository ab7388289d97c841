"""The URL of the caller's store, which may hold a password: no message shows it."""

import re
import socket
from urllib.parse import unquote, urlsplit

# With the port that each has if the URL names none; 0: no port at all.
_PORTS = {"": 6379, "+sentinel": 26379, "+cluster": 6379}
_SCHEMES = {f"{one}{kind}": port for kind, port in _PORTS.items() for one in ("redis", "rediss")}
_SCHEMES["unix"] = 0
_SECONDS = 5.0


def problem(url: str) -> str:
    """Return what is wrong with a URL; empty if nothing is."""
    scheme = url.partition("://")[0]
    if scheme not in _SCHEMES:
        return f"it does not begin with {', '.join(f'{each}://' for each in _SCHEMES)}"
    if "#" in url:
        return "it contains #, which a password writes as %23"
    try:
        path, found = urlsplit(url).path, addresses(url)
    except ValueError:
        return "its host or its port cannot be read"
    if scheme == "unix":
        return "" if path and not found else "a socket's path begins behind three slashes"
    if not found or not all(host and port for host, port in found):
        return "it names no host"
    if scheme.endswith("+sentinel"):
        shape, missing = r"/[^/]+(/\d*)?", "it names no service behind the Sentinels, as in /shop/0"
    else:
        shape, missing = r"/?\d*", "its database is not a number (a password writes / as %2F)"
    return "" if re.fullmatch(shape, path, re.ASCII) else missing


def addresses(url: str) -> list[tuple[str, int]]:
    """Return the hosts that a URL names, each with its port; none for a socket.

    Raises:
        ValueError: one cannot be read.
    """
    parts = urlsplit(url)
    found = []
    for each in filter(None, parts.netloc.rpartition("@")[2].split(",")):
        one = urlsplit(f"//{each}")
        port = _SCHEMES[parts.scheme] if one.port is None else one.port
        found.append((one.hostname or "", port))
    return found


def hosts(url: str) -> list[str]:
    """Return the hosts that a URL of any scheme names, without ports; none for a socket."""
    each = urlsplit(url).netloc.rpartition("@")[2].split(",")
    return [re.sub(r":\d*$", "", host).strip("[]").lower() for host in each if host]


def refusal(url: str) -> str:
    """Connect to the store, or to one of its servers; return why that fails, empty if not."""
    parts, why = urlsplit(url), ""
    if parts.scheme == "unix":
        where = unquote(parts.path)
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_SECONDS)
                connection.connect(where)
        except OSError as error:
            return f"{where}: {error.strerror or error}"
        return ""
    for host, port in addresses(url):
        try:
            socket.create_connection((host, port), _SECONDS).close()
        except OSError as error:
            why = f"{host} port {port}: {error.strerror or error}"
        else:
            return ""
    return why
