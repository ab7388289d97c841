"""The application and the request that is being served, with their types."""

import os
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, cast

from flask import current_app, has_request_context, request
from unsticky import Unsticky

from shop.settings import Settings
from shop.store import Store

REQUEST_ID: Final = "X-Request-ID"
"""The header that holds the request's id, in nginx's log, in ours and in the answer."""


@dataclass(frozen=True)
class Shop:
    """The parts of the application that views need."""

    settings: Settings
    sessions: Unsticky
    store: Store

    def close(self) -> None:
        """Close the connections to the store."""
        self.sessions.close()
        self.store.close()


def current_shop() -> Shop:
    """Return the parts of the application that is being served."""
    return cast("Shop", current_app.extensions["shop"])


_IPV6_NETWORK: Final = 64
_NAT64: Final = IPv6Network("64:ff9b::/96")


def client_of(address: str) -> str:
    """Return the client that an address belongs to: itself, or the /64 network of an IPv6 address.

    A provider gives each customer at least such a network, so that one machine has 2^64 addresses.
    All loopback addresses are one client: a program on this host can send from any of them.
    An IPv4 address inside an IPv6 one (mapped, or translated by NAT64: RFC 6052) counts as itself.
    nginx counts clients by the same rule (nginx/client.conf.template).
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address  # a unix socket without a proxy
    if isinstance(found, IPv6Address):
        inner = IPv4Address(found.packed[12:]) if found in _NAT64 else found.ipv4_mapped
        if inner is None and not found.is_loopback:
            return str(ip_network((found.packed, _IPV6_NETWORK), strict=False))
        found = inner or found
    return "loopback" if found.is_loopback else str(found)


def request_id() -> str | None:
    """Return the id of the request that is being served; None outside a request."""
    return request.headers.get(REQUEST_ID) if has_request_context() else None


def trace_id() -> str | None:
    """Return the id of the trace that has the request that is being served, if there is one."""
    found: str | None = request.environ.get("unsticky.trace_id") if has_request_context() else None
    return found


def served_by() -> str | None:
    """Return `<replica>/<pid>` of this worker; None if answers do not say it."""
    settings = current_shop().settings
    return f"{settings.replica}/{os.getpid()}" if settings.served_by else None
