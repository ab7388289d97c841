"""Which requests the shop takes, and the headers that every answer carries.

A request must be for one of the shop's hosts, not too large, and not made by a page of another
site. Together with `SameSite` cookies the last check is the protection against cross-site request
forgery: browsers say where a request comes from, so no token is needed.
"""

import os
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestEntityTooLarge

from shop.context import REQUEST_ID
from shop.errors import quoted
from shop.http.parsing import FORM_TYPES
from shop.http.problems import HEALTH_CHECKS, Problem
from shop.settings import Settings

MOST_BODY_BYTES = 64 * 1024
MOST_FORM_BYTES = 16 * 1024
"""To read the 32,000 fields that 64 KiB can hold takes 50 ms. The longest password takes 3 KiB."""

SECURITY_HEADERS = {
    # Pages need one style sheet and their pictures, both from here; forms go back here; no other
    # page may frame them. No script runs, inline or not.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The check of Origin needs no referrer, and other sites need not know our paths.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, 9.2.1

_REQUEST_ID_KEY = "HTTP_X_REQUEST_ID"
_REQUEST_ID_FORM = re.compile(r"[0-9a-f]{32}")


def check_host(settings: Settings) -> None:
    """Refuse requests for hosts that are not ours.

    Health checks are answered for every host: a load balancer's probe names an address, or none.
    Flask's own check splits names at the first colon, so that `[::1]` never matches.

    Raises:
        Problem: 400 if `Host` is missing, malformed or not a trusted one.
    """
    if request.path in HEALTH_CHECKS:
        return
    # Empty if the header is missing or has characters that no host has.
    name = request.host.lower()
    if not name.endswith("]"):
        name = name.rpartition(":")[0] or name
    for trusted in settings.trusted_hosts:
        if name == trusted.removeprefix(".") or (trusted[0] == "." and name.endswith(trusted)):
            return
    given = request.headers.get("Host", "")
    raise Problem(
        400,
        f"This server does not serve the host {quoted(given)}; TRUSTED_HOSTS lists those it does.",
    )


def check_size() -> None:
    """Refuse bodies over MOST_BODY_BYTES, and forms over MOST_FORM_BYTES, read or not.

    Raises:
        RequestEntityTooLarge: The body is larger.
    """
    size = request.content_length
    if size is None and "Transfer-Encoding" in request.headers:
        size = len(request.get_data())
    most = MOST_FORM_BYTES if request.mimetype in FORM_TYPES else MOST_BODY_BYTES
    if (size or 0) > most:
        raise RequestEntityTooLarge


def check_site() -> None:
    """Refuse unsafe requests that a page of another site made.

    `Sec-Fetch-Site` decides if it is there; else `Origin` must be this scheme, host and port. A
    request with neither does not come from a browser.

    Raises:
        Problem: 403 if the request is cross-site.
    """
    if request.method in _SAFE:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site not in {"same-origin", "none"}:
            given = quoted(site)
            raise Problem(403, f"The request comes from another site (Sec-Fetch-Site: {given}).")
        return
    origin = request.headers.get("Origin")
    own = f"{request.scheme}://{request.host}".lower()
    if origin is not None and origin != own:
        origins = f"the origin {quoted(origin)}; only {quoted(own)}"
        raise Problem(403, f"The request comes from {origins} may change things here.")


@dataclass(frozen=True)
class EveryAnswer:
    """WSGI middleware that makes sure of the request's id and adds the common headers.

    It stands outside Flask, so that answers which the session library puts in the view's place
    carry them too.
    """

    app: WSGIApplication
    settings: Settings

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        # The session library recognises a request that nginx sent twice by this id, so a client
        # must not choose it: it counts only if a proxy of ours has set it.
        given = environ.get(_REQUEST_ID_KEY, "")
        if not (self.settings.proxy_hops and _REQUEST_ID_FORM.fullmatch(given)):
            environ[_REQUEST_ID_KEY] = secrets.token_hex(16)
        common = {**SECURITY_HEADERS, REQUEST_ID: environ[_REQUEST_ID_KEY]}
        if self.settings.served_by:
            common["X-Served-By"] = f"{self.settings.replica}/{os.getpid()}"

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            fields = Headers(headers)
            for name, value in common.items():
                fields[name] = value
            return start_response(status, list(fields), *exc_info)

        return self.app(environ, start)
