"""The browser of one visitor: it keeps cookies, and checks the session's cookie at each answer."""

import time
from typing import Any, ClassVar, Unpack

from locust.contrib.fasthttp import FastHttpSession
from locust.user import User

from loadtest.settings import ANSWER_SECONDS
from loadtest.users.findings import Answer, Failure, Finding, How, Refused
from loadtest.users.pace import Pace
from loadtest.users.samples import headers_of

_SHOWN = 200
# As browsers have for one host. geventhttpclient's default is one, and tabs would take turns.
_CONNECTIONS = 6


class Browser:
    """Sends requests, keeps cookies, and watches the session's cookie.

    Args:
        user: the Locust user that it belongs to.
        session_cookie: the name of the cookie that must not change unless the request says
            `rotates`, with or without `__Host-` before it. `None` checks no cookie.
        pace: when its requests are due, by default that of a closed loop. The time by which a
            request begins too late counts as its latency.

    Attributes:
        workers: every `X-Served-By` that a browser of this process has met.
    """

    workers: ClassVar[set[str]] = set()

    def __init__(self, user: User, session_cookie: str | None, pace: Pace | None = None) -> None:
        self._pace = pace or Pace()
        self._cookie = session_cookie
        self._issuer = ""
        self._session = FastHttpSession(
            base_url=user.host,
            request_event=user.environment.events.request,
            user=user,
            network_timeout=ANSWER_SECONDS,
            connection_timeout=ANSWER_SECONDS,
            max_retries=0,
            concurrency=_CONNECTIONS,
        )
        self.last: Answer | None = None
        """The answer that came last."""
        self.lost: Finding | None = None
        """The first finding that the session's cookie was replaced or removed."""

    def ask(self, method: str, path: str, **how: Unpack[How]) -> Answer:
        """Send one request.

        Raises:
            Refused: no answer came, or one with a status that was not expected.
            Finding: the session's cookie changed or vanished.
            Over: the run has ended.
        """
        expect, named = how.get("expect", (200,)), f"{method} {how.get('name', path)}"
        # As of now: another tab's answer may replace the cookie meanwhile.
        before, issuer = self.session_cookie(), self._issuer
        late = self._pace.begin(named)
        sent = time.perf_counter()
        with self._session.request(
            method,
            path,
            name=named,
            json=how.get("json"),
            headers=dict(how.get("headers", {})),
            catch_response=True,
            allow_redirects=not how.get("stays", False),
            context={"late_ms": late * 1000},
        ) as response:
            status = int(response.status_code)
            if status in expect:
                response.success()
            elif status:
                response.failure(f"status {status}")
        self._pace.answered(named, time.perf_counter() - sent)
        fields = headers_of(response)
        answer = Answer(
            request=named,
            status=status,
            body=response.content or b"",
            request_id=fields.get("x-request-id", ""),
            served_by=fields.get("x-served-by", ""),
            issuer=issuer,
            set_cookies=_set_cookies(response),
            response=response,
        )
        self.last = answer
        if answer.served_by:
            self.workers.add(answer.served_by)
        # First: an answer that replaces the session is seldom the one that was expected, either.
        self._watch_cookie(before, answer, rotates=how.get("rotates", False))
        if status not in expect:
            error = getattr(response, "error", None)
            raise Refused(status, repr(error) if not status else str(answer.body[:_SHOWN]))
        return answer

    def pause(self, seconds: float) -> None:
        """Wait before the next request.

        Raises:
            Over: the run has ended.
        """
        self._pace.pause(seconds)

    def session_cookie(self) -> str | None:
        """Return the value of the session's cookie in the jar."""
        for cookie in self._session.cookiejar:
            if cookie.name.removeprefix("__Host-") == self._cookie:
                return str(cookie.value)
        return None

    def cookie_header(self) -> dict[str, str]:
        """Return the jar as a header, for a request of another browser."""
        pairs = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._session.cookiejar)
        return {"Cookie": pairs} if pairs else {}

    def forget(self) -> None:
        """Forget all cookies."""
        self._session.cookiejar.clear()

    def close(self) -> None:
        """Close its connections."""
        self._session.client.close()

    def _watch_cookie(self, before: str | None, answer: Answer, *, rotates: bool) -> None:
        after = self.session_cookie()
        names = {name.removeprefix("__Host-") for name in answer.set_cookies}
        if after == before or self._cookie not in names:
            return
        self._issuer = answer.served_by
        if before is None or rotates:
            return
        if after is None:
            detail = "the session's cookie vanished: the answer removed it"
        else:
            detail = "the answer brought another session's cookie"
            detail += f" in place of the one from {answer.issuer}" if answer.issuer else ""
        self.lost = self.lost or Finding(Failure.LOST_SESSION, detail, answer)
        raise self.lost


def _set_cookies(response: Any) -> frozenset[str]:
    fields = getattr(response, "headers", None) or {}
    return frozenset(
        value.partition("=")[0].strip()
        for name, value in fields.items()
        if name.lower() == "set-cookie"
    )
