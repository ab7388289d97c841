"""A browser with tabs: one cookie jar, requests in turn to each of the servers."""

import http.client
import itertools
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import unescape
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

HOST = "localhost"
PATIENCE_SECONDS = 30.0

_FAILURES = {409, *range(500, 600)}


class Broken(Exception):
    """What the application does is not what it does on Flask's own sessions."""


@dataclass(frozen=True)
class Answer:
    """A response. `location` is empty where there is no redirect."""

    status: int
    text: str
    location: str
    headers: http.client.HTTPMessage

    def needs(self, *texts: str) -> "Answer":
        """Return this answer.

        Raises:
            Broken: one of the texts is not on the page.
        """
        for text in texts:
            if text not in self.text:
                raise Broken(f"the page ({self.status}) lacks {text!r}: {_shown(self.text)}")
        return self

    def lacks(self, *texts: str) -> "Answer":
        """Return this answer.

        Raises:
            Broken: one of the texts is on the page.
        """
        for text in texts:
            if text in self.text:
                raise Broken(f"the page ({self.status}) still says {text!r}: {_shown(self.text)}")
        return self

    def hidden(self, name: str) -> str:
        """Return the value of a hidden field, the CSRF token's for instance."""
        for tag in re.findall(r"<input[^>]*>", self.text):
            if f'name="{name}"' in tag and (found := re.search(r'value="([^"]*)"', tag)):
                return unescape(found[1])
        raise Broken(f"the page ({self.status}) has no field {name!r}: {_shown(self.text)}")


class Browser:
    """See the module. Each request has a connection of its own, and any thread may send it."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = itertools.cycle(ports)
        self._lock = threading.Lock()
        self.cookies: dict[str, str] = {}

    def get(self, path: str, *, refused: bool = False, **headers: str) -> Answer:
        """Ask for a page; see `send`."""
        return self.send("GET", path, None, headers, refused=refused)

    def post(self, path: str, form: dict[str, str], *, refused: bool = False) -> Answer:
        """Send a form; see `send`."""
        return self.send("POST", path, form, {}, refused=refused)

    def send(
        self,
        method: str,
        path: str,
        form: dict[str, str] | None,
        headers: dict[str, str],
        *,
        refused: bool,
    ) -> Answer:
        """Send one request and keep what cookies it brings.

        Args:
            method: GET or POST.
            path: with the query.
            form: what is sent as a form, if anything.
            headers: more of them; `_` stands for a dash in a name.
            refused: whether a failure is what the application answers here.

        Raises:
            Broken: the answer is 409 or 5xx, and `refused` is not set.
        """
        with self._lock:
            port = next(self._ports)
            jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"Host": HOST, **{name.replace("_", "-"): text for name, text in headers.items()}}
        if jar:
            sent["Cookie"] = jar
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        try:
            body = None if form is None else urlencode(form)
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except OSError as error:
            raise Broken(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        self._keep(response.headers.get_all("Set-Cookie", []))
        if response.status in _FAILURES and not refused:
            raise Broken(f"{method} {_plain(path)} is answered {response.status}: {_shown(text)}")
        location = response.headers.get("Location", "")
        return Answer(response.status, unescape(text), location, response.headers)

    def visit(self, path: str, form: dict[str, str] | None = None) -> Answer:
        """Ask for a page, or send a form, and follow redirects within the application."""
        answer = self.get(path) if form is None else self.post(path, form)
        for _ in range(5):
            parts = urlsplit(answer.location)
            if not answer.location or parts.netloc not in {"", HOST}:
                return answer
            answer = self.get(parts._replace(scheme="", netloc="").geturl())
        raise Broken(f"{path} redirects for ever, last to {answer.location}")

    def submit(self, path: str, form: dict[str, str], *, target: str = "") -> Answer:
        """Open the page of a form, fill it in and send it with its CSRF token, to `target`."""
        token = self.get(path).hidden("csrf_token")
        return self.visit(target or path, {**form, "csrf_token": token})

    def at_once(self, *tasks: Callable[[], Answer]) -> list[Answer]:
        """Do several things in tabs of this browser at the same time."""
        with ThreadPoolExecutor(len(tasks)) as threads:
            pending = [threads.submit(task) for task in tasks]
            return [each.result() for each in pending]

    def _keep(self, headers: list[str]) -> None:
        for header in headers:
            for name, morsel in SimpleCookie(header).items():
                with self._lock:
                    if morsel["max-age"] == "0" or "1970" in morsel["expires"]:
                        self.cookies.pop(name, None)
                    else:
                        self.cookies[name] = morsel.value


def _shown(page: str) -> str:
    text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", page)
    return " ".join(unescape(text).split())[:160]


def _plain(path: str) -> str:
    return path if len(path) < 60 else f"{path[:57]}..."
