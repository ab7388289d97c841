"""The HTTP client of all tests: httpx with cookies, to a port, a unix socket or an application."""

import json
import logging
import ssl
import time
from collections.abc import Mapping
from email.message import Message
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, Final, Self

import httpx
from flask import Flask

from tests.support.http.wire import Answer
from tests.support.waiting import PATIENCE

Target = int | Path | Flask
"""A port of 127.0.0.1, a unix socket, or an application in this process."""

# It writes a line for each request, into the logs that tests look at.
logging.getLogger("httpx").setLevel(logging.WARNING)

_HOST: Final = "127.0.0.1"
_JSON: Final = {"Content-Type": "application/json"}
# A server may close a connection that rests; nginx does so at a reload after its
# keepalive_min_timeout, 1 s. A busy machine lets a client rest, too, also with an answer that it
# has not read yet: so a rest is shorter than the time of two requests.
_KEPT_SECONDS: Final = 0.9
# Loading the system's certificates takes 20 ms, for each client.
_NO_CERTIFICATES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Client:
    """A browser without scripts.

    Args:
        target: where requests go.
        cookie: the name of the session's cookie.
        keep_alive: use one connection for all requests; otherwise each gets a fresh one.
        tls: the certificates that it trusts, if it connects by TLS.

    Attributes:
        cookies: values by name. Not httpx' jar, which refuses some that attackers send.
        issued: every value that the session's cookie was ever given.
        bodies: every body that was received.
    """

    def __init__(
        self,
        target: Target,
        cookie: str = "sid",
        *,
        keep_alive: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.cookies: dict[str, str] = {}
        self.issued: list[str] = []
        self.bodies: list[bytes] = []
        self._name = cookie
        self._keep_alive = keep_alive
        self._tls = tls
        self._stream: object = None
        self._begun = time.monotonic()
        self.go_to(target)

    def go_to(self, target: Target) -> None:
        """Send further requests elsewhere, with the same cookies."""
        port = f":{target}" if isinstance(target, int) else ""
        self._target = target
        self._http = httpx.Client(
            base_url=f"{'http' if self._tls is None else 'https'}://{_HOST}{port}",
            transport=self._transport(),
            headers={"Accept-Encoding": "identity"},
            timeout=PATIENCE,
        )

    def __enter__(self) -> Self:
        """Leave the connection open until the block ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection; the cookies stay readable."""
        self._http.close()

    @property
    def cookie(self) -> str | None:
        """The value of the session's cookie; None if there is none."""
        return self.cookies.get(self._name)

    @cookie.setter
    def cookie(self, value: str | None) -> None:
        self.cookies.pop(self._name, None)
        if value is not None:
            self.cookies[self._name] = value

    def tab(self) -> Self:
        """Return another tab: a client with the same cookies now, and connections of its own."""
        other = type(self)(self._target, self._name, keep_alive=self._keep_alive, tls=self._tls)
        other.cookies |= self.cookies
        return other

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request with the cookies, and keep those of the answer.

        Args:
            method: the method.
            path: path and query, sent byte for byte.
            body: the body.
            headers: further headers.

        Raises:
            httpx.TransportError: no answer came.
            AssertionError: a connection in use was closed, and no answer had announced it.
        """
        before, self._begun = self._begun, time.monotonic()
        sent = dict(headers or {})
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        response = self._http.request(
            method,
            path,
            content=body,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
            extensions={"target": path.encode()},
        )
        self._http.cookies.clear()
        if self._keep_alive:
            self._expect_the_same_connection(response, time.monotonic() - before)
        self.bodies.append(response.content)
        answer = Answer(response.status_code, Message(), response.content)
        for name, value in response.headers.multi_items():
            answer.headers[name] = value
        for line in response.headers.get_list("Set-Cookie"):
            for name, morsel in SimpleCookie(line).items():
                self._keep(name, None if morsel["max-age"] == "0" else morsel.value)
        return answer

    def send(
        self,
        method: str,
        path: str,
        document: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a JSON document, or no body if it is None."""
        if document is None:
            return self.ask(method, path, headers=headers)
        return self.ask(method, path, json.dumps(document).encode(), {**(headers or {}), **_JSON})

    def get(self, path: str, **headers: str) -> Answer:
        """Send a GET request; `X_Name="value"` becomes the header `X-Name`."""
        return self.ask("GET", path, headers=named(headers))

    def post(self, path: str, **values: Any) -> Answer:
        """Send a POST request with a JSON object."""
        return self.send("POST", path, values)

    def _keep(self, name: str, value: str | None) -> None:
        if not value:
            self.cookies.pop(name, None)
            return
        self.cookies[name] = value
        if name == self._name:
            self.issued.append(value)

    def _expect_the_same_connection(self, response: httpx.Response, seconds: float) -> None:
        stream = response.extensions["network_stream"]
        is_kept = self._stream in {None, stream} or seconds > _KEPT_SECONDS
        assert is_kept, "the kept connection was closed without notice"
        self._stream = None if response.headers.get("Connection") == "close" else stream

    def _transport(self) -> httpx.BaseTransport:
        if isinstance(self._target, Flask):
            return _InProcess(self._target)
        return httpx.HTTPTransport(
            verify=self._tls or _NO_CERTIFICATES,
            uds=str(self._target) if isinstance(self._target, Path) else None,
            limits=httpx.Limits(max_keepalive_connections=None if self._keep_alive else 0),
        )


class _InProcess(httpx.BaseTransport):
    """Flask's test client as a transport; httpx' own takes ASCII headers only."""

    def __init__(self, app: Flask) -> None:
        self._client = app.test_client(use_cookies=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Let the application answer."""
        response = self._client.open(
            request.extensions["target"].decode(),
            method=request.method,
            headers=[(k.decode(), v.decode("latin-1")) for k, v in request.headers.raw],
            data=request.read(),
        )
        headers = [(k.encode(), v.encode("latin-1")) for k, v in response.headers]
        with response:
            return httpx.Response(response.status_code, headers=headers, content=response.data)


def named(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers that were given as arguments under their names: `X_Name` is `X-Name`."""
    return {name.replace("_", "-"): value for name, value in headers.items()}


def serves(port: int, path: str = "/livez") -> bool:
    """Return whether something on this port of 127.0.0.1 answers a path with 200."""
    try:
        return ask(port, "GET", path).status == 200
    except httpx.TransportError:
        return False


def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send one request without cookies on a fresh connection to 127.0.0.1; return its answer."""
    with Client(port) as client:
        return client.ask(method, path, body, headers)
