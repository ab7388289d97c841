"""The browser of these tests: an HTTP client whose session cookie has Flask's default name."""

import ssl
from base64 import urlsafe_b64decode
from typing import Self

from tests.support.http.client import Client, Target


class Browser(Client):
    """A browser, which records each cookie and each body that it was given."""

    def __init__(
        self,
        target: Target,
        cookie: str = "session",
        *,
        keep_alive: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(target, cookie, keep_alive=keep_alive, tls=tls)

    def twin(self) -> Self:
        """Return a second browser that holds the same cookie now: a thief, or another tab."""
        return self.tab()


def identifier(cookie: str) -> bytes:
    """Return the 32 secret bytes of a cookie's value."""
    return urlsafe_b64decode(cookie)[8:40]
