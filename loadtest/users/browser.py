"""A browser of one visitor: a cookie jar, a few connections, and every answer looked at."""

from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict, Unpack

from locust.contrib.fasthttp import FastHttpSession
from locust.user import User
from runs.kinds import Kind

from visits.findings import Answer, Finding, Refused

_PATIENCE = 35.0
_SHOWN = 200
# As browsers have for one host. geventhttpclient's default is one, and tabs would take turns.
_CONNECTIONS = 6


class How(TypedDict, total=False):
    """How a request is sent, and what is expected of its answer."""

    json: object
    """The body."""
    headers: Mapping[str, str]
    """Further ones."""
    expect: tuple[int, ...]
    """The statuses that are right, 200 by default; any other counts as an error."""
    name: str
    """Under which it is counted, where the path holds a variable part."""
    rotates: bool
    """Whether the answer may give the session another cookie."""


class Browser:
    """Sends requests, keeps cookies, and watches the session's cookie.

    Args:
        user: the Locust user on whose behalf it goes.
        session_cookie: the name of the cookie that must not change unless it is said;
            ``__Host-`` before it counts as the same. ``None``: no cookie is watched.
        late: seconds by which the visit began too late; they count for its first request, so that
            a load generator or a target that falls behind is seen (coordinated omission).

    Attributes:
        workers: who has answered any browser of this process, as ``X-Served-By`` names them.
    """

    workers: ClassVar[set[str]] = set()

    def __init__(self, user: User, session_cookie: str | None, late: float = 0.0) -> None:
        self._late = late
        self._cookie = session_cookie
        self._issuer = ""
        self._session = FastHttpSession(
            base_url=user.host,
            request_event=user.environment.events.request,
            user=user,
            network_timeout=_PATIENCE,
            connection_timeout=_PATIENCE,
            max_retries=0,
            concurrency=_CONNECTIONS,
        )
        self.last: Answer | None = None
        """The answer that came last."""
        self.lost: Finding | None = None
        """That the session's cookie was replaced or removed, once it was."""

    def ask(self, method: str, path: str, **how: Unpack[How]) -> Answer:
        """Send one request.

        Raises:
            Refused: another status came than was expected, or no answer.
            Finding: the session's cookie changed or vanished.
        """
        expect, named = how.get("expect", (200,)), f"{method} {how.get('name', path)}"
        before = self.session_cookie()
        late, self._late = self._late, 0.0
        with self._session.request(
            method,
            path,
            name=named,
            json=how.get("json"),
            headers=dict(how.get("headers", {})),
            catch_response=True,
            context={"late_ms": late * 1000},
        ) as response:
            status = int(response.status_code)
            if status in expect:
                response.success()
            elif status:
                response.failure(f"status {status}")
        fields = headers_of(response)
        answer = Answer(
            request=named,
            status=status,
            body=response.content or b"",
            request_id=fields.get("x-request-id", ""),
            served_by=fields.get("x-served-by", ""),
            issuer=self._issuer,
            set_cookies=_set_cookies(response),
        )
        self.last = answer
        if answer.served_by:
            self.workers.add(answer.served_by)
        if status not in expect:
            error = getattr(response, "error", None)
            raise Refused(status, repr(error) if not status else str(answer.body[:_SHOWN]))
        self._watch_cookie(before, answer, rotates=how.get("rotates", False))
        return answer

    def session_cookie(self) -> str | None:
        """Return the value of the session's cookie in the jar."""
        for cookie in self._session.cookiejar:
            if cookie.name.removeprefix("__Host-") == self._cookie:
                return str(cookie.value)
        return None

    def cookie_header(self) -> dict[str, str]:
        """Return the jar as a header, for a request that another browser sends."""
        pairs = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._session.cookiejar)
        return {"Cookie": pairs} if pairs else {}

    def forget(self) -> None:
        """Forget all cookies, as a client without a jar does."""
        self._session.cookiejar.clear()

    def close(self) -> None:
        """Close its connections."""
        self._session.client.close()

    def _watch_cookie(self, before: str | None, answer: Answer, *, rotates: bool) -> None:
        after = self.session_cookie()
        if after == before:
            return
        issuer, self._issuer = self._issuer, answer.served_by
        if before is None or rotates:
            return
        if after is None:
            detail = "the session's cookie vanished: the answer removed it"
        else:
            detail = "the answer brought another session's cookie"
            detail += f" in place of the one from {issuer}" if issuer else ""
        self.lost = self.lost or Finding(Kind.LOST_SESSION, detail, answer)
        raise self.lost


def headers_of(response: Any) -> dict[str, str]:
    """Return the headers of a Locust response, names in lower case; none where no answer came."""
    fields = getattr(response, "headers", None)
    return {name.lower(): value for name, value in fields.items()} if fields is not None else {}


def _set_cookies(response: Any) -> frozenset[str]:
    fields = getattr(response, "headers", None)
    return frozenset(
        value.partition("=")[0].strip()
        for name, value in (fields.items() if fields is not None else ())
        if name.lower() == "set-cookie"
    )
