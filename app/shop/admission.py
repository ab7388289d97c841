"""Which requests the shop takes: for its own hosts, not too large, not from other sites.

Together with ``SameSite`` cookies this is the protection against cross-site
request forgery: browsers say where a request comes from, and no token is needed.
"""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from shop.problems import Problem
from shop.settings import Settings

MOST_BODY_BYTES = 64 * 1024

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, 9.2.1


def check_host(settings: Settings) -> None:
    """Refuse requests for hosts that are not ours.

    Flask's own check splits names at the first colon, so that ``[::1]`` never
    matches, hence this one.

    Raises:
        Problem: 400 if ``Host`` is missing, malformed or not a trusted one.
    """
    # Empty where the header is missing or has characters that no host has.
    name = request.host.lower()
    if not name.endswith("]"):
        name = name.rpartition(":")[0] or name
    for trusted in settings.trusted_hosts:
        if name == trusted.removeprefix(".") or (trusted[0] == "." and name.endswith(trusted)):
            return
    given = request.headers.get("Host", "")
    raise Problem(
        400, f"This server does not serve the host {given!r}; TRUSTED_HOSTS names those it does."
    )


def check_size() -> None:
    """Refuse bodies over MOST_BODY_BYTES, also where no view would read them.

    Raises:
        RequestEntityTooLarge: If the body is larger.
    """
    size = request.content_length
    if size is None and "Transfer-Encoding" in request.headers:
        size = len(request.get_data())
    if (size or 0) > MOST_BODY_BYTES:
        raise RequestEntityTooLarge


def check_site() -> None:
    """Refuse unsafe requests that a page of another site made.

    ``Sec-Fetch-Site`` decides where it is sent; else ``Origin`` must be this
    very scheme, host and port; a request with neither does not come from a
    browser.

    Raises:
        Problem: 403 if the request is cross-site.
    """
    if request.method in _SAFE:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site not in {"same-origin", "none"}:
            raise Problem(403, f"The request comes from another site (Sec-Fetch-Site: {site}).")
        return
    origin = request.headers.get("Origin")
    own = f"{request.scheme}://{request.host}".lower()
    if origin is not None and origin != own:
        raise Problem(
            403, f"The request comes from the origin {origin}; only {own} may change things here."
        )
