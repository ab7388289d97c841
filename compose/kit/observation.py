"""Look at an application from outside, as `make up` does at its end."""

import http.client
import http.cookies
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field

_SECONDS = 10.0
_MOST_REDIRECTS = 4
_ANSWERED = 500
# What Unsticky gives a browser: 72 bytes, the first of which is the version, 1.
_UNSTICKY = re.compile("AQ[A-Za-z0-9_-]{94}")


@dataclass(slots=True)
class Visitor:
    """A browser without JavaScript: it follows redirects and keeps cookies."""

    port: int
    host: str
    cookies: dict[str, str] = field(default_factory=dict)
    needs_tls: bool = False
    """A cookie came that browsers send over TLS only, except to this machine."""

    def get(self, path: str) -> tuple[int, str, set[str]]:
        """Request a page; return its status, its path and the names of new or changed cookies.

        Raises:
            OSError: nginx does not answer.
            http.client.HTTPException: what answers is not HTTP.
        """
        changed: set[str] = set()
        for _ in range(_MOST_REDIRECTS + 1):
            status, location = self._request(path, changed)
            target = urllib.parse.urlsplit(urllib.parse.urljoin(path, location))
            if not location or target.hostname not in {None, self.host}:
                break
            path = urllib.parse.urlunsplit(("", "", target.path or "/", target.query, ""))
        return status, path, changed

    def _request(self, path: str, changed: set[str]) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS)
        try:
            cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            headers = {"Host": f"{self.host}:{self.port}", "Accept": "text/html,*/*;q=0.5"}
            if cookie:
                headers["Cookie"] = cookie
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            for line in response.headers.get_all("Set-Cookie", ()):
                self._keep(line, changed)
            return response.status, response.headers.get("Location", "")
        finally:
            connection.close()

    def _keep(self, line: str, changed: set[str]) -> None:
        for name, morsel in http.cookies.SimpleCookie(line).items():
            if _identity(self.cookies.get(name, "")) != _identity(morsel.value):
                changed.add(name)
            self.cookies[name] = morsel.value
            self.needs_tls |= bool(morsel["secure"])


def _identity(value: str) -> str:
    """Return a cookie's value without the time and the signature of a signed one."""
    return value.rsplit(".", 2)[0]


def observe(port: int, host: str, path: str, workers: int) -> Iterator[str]:
    """Visit an application through nginx and say what a user would meet, a sentence each.

    Args:
        port: of nginx on this machine, without TLS.
        host: one that the application accepts.
        path: of the page to visit.
        workers: of all replicas together.
    """
    visitor = Visitor(port, host)
    try:
        status, page, _ = visitor.get(path)
        if status >= _ANSWERED:
            yield f"{path} answers {status}: `make logs` shows why"
            return
        shown = path if page == path else f"{path} leads to {page}, which"
        yield f"{shown} answers {status}"
        began = set(visitor.cookies)
        if not began:
            yield f"no cookie is set at {page}, so no session was tried on other workers"
            return
        if not any(map(_UNSTICKY.fullmatch, visitor.cookies.values())):
            yield (
                f"no cookie at {page} is Unsticky's: to use its sessions, give the application the "
                "two lines that `make init` shows"
            )
        if visitor.needs_tls:
            yield (
                "a cookie is Secure: without TLS, browsers send it to this machine only "
                "(SESSION_COOKIE_SECURE)"
            )
        # Workers take turns, and all of them answer some of these.
        tries = 4 * workers
        lost = sum(bool(visitor.get(page)[2] & began) for _ in range(tries))
    except (OSError, http.client.HTTPException) as error:
        yield f"{path} does not answer: {error}"
        return
    if lost:
        yield (
            f"a session does not hold: {lost} of {tries} further requests got a new one. Most "
            "likely each worker has a SECRET_KEY or a memory of its own: see `make check`"
        )
    else:
        yield f"a session of one worker held on all of them ({tries} requests)"
