"""Requests, their answers, and what can be wrong with these."""

import json
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from enum import StrEnum
from typing import Any, TypedDict

_SHOWN = 200


class Failure(StrEnum):
    """The kinds of failure that a report counts."""

    LOST_UPDATE = "lost update"
    """A change was acknowledged, and a later answer lacks it."""
    LOST_SESSION = "lost session"
    """The session changed or ended under its user: another handle, a cookie that vanished."""
    REVIVED_SESSION = "revived session"
    """A session that was ended, by a logout for example, is there again."""
    UNBALANCED = "unbalanced"
    """A worker never appeared, or its share of the requests is off. Found at the end of a run."""
    WRONG_ANSWER = "wrong answer"
    """The answer contradicts itself or its contract in another way."""
    OVERLOAD = "overload"
    """An open loop could not begin a visit: too many earlier ones were still under way."""
    BROKEN_SCENARIO = "broken scenario"
    """The scenario's own code failed: this says nothing about the target."""


CONTINUITY = (
    Failure.LOST_UPDATE, Failure.LOST_SESSION, Failure.REVIVED_SESSION, Failure.UNBALANCED,
)  # fmt: skip
"""The kinds that a load-balanced stack must never show."""


class How(TypedDict, total=False):
    """How a request is sent, and which answers are right."""

    json: object
    """The body."""
    headers: Mapping[str, str]
    """Further ones."""
    expect: tuple[int, ...]
    """The statuses that are right, by default 200; any other counts as an error."""
    name: str
    """The path as it is counted, if it has a variable part."""
    rotates: bool
    """Whether the answer may give the session another cookie."""
    stays: bool
    """Whether a redirect is an answer; otherwise it is followed."""


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        request: method and path, under the name by which they are counted.
        status: the status code.
        body: the bytes.
        request_id: its `X-Request-ID`, which the logs hold, too; empty if it has none.
        served_by: its `X-Served-By`, `<replica>/<pid>`; empty if it has none.
        issuer: who served the answer that set the session's cookie; empty if unknown.
        set_cookies: the names of the cookies that it set or removed.
        response: the HTTP client's, from which a finding's exchange is kept.
    """

    request: str
    status: int
    body: bytes
    request_id: str
    served_by: str
    issuer: str
    set_cookies: frozenset[str]
    response: Any = field(default=None, repr=False, compare=False)

    def json(self) -> Any:
        """Return the body, parsed.

        Raises:
            Finding: it is not JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            shown = self.body[:_SHOWN].decode(errors="replace")
            raise Finding(
                Failure.WRONG_ANSWER, f"no JSON with status {self.status}: {shown!r}", self
            ) from None


@dataclass(eq=False)
class Finding(Exception):
    """Something is wrong with the target.

    Raising it ends the visit, because what the visit knows of the target no longer holds.

    Args:
        kind: the kind of failure.
        detail: what was found, and what was expected.
        answer: the answer that shows it; the fields from `request` on are taken from it.
        time: when it was reported, in seconds since the epoch.
        journey: whose visit it ended.
    """

    kind: Failure
    detail: str
    answer: InitVar[Answer | None] = None
    time: float = 0.0
    journey: str = ""
    request: str = ""
    served_by: str = ""
    issuer: str = ""
    request_id: str = ""

    def __post_init__(self, answer: Answer | None) -> None:
        super().__init__(self.kind, self.detail)
        # No field: it is written to a file of its own.
        self.response = None if answer is None else answer.response
        if answer is not None:
            self.request, self.request_id = answer.request, answer.request_id
            self.served_by, self.issuer = answer.served_by, answer.issuer

    def __str__(self) -> str:
        """The kind and the detail, which is masked when it is written."""
        return f"{self.kind}: {self.detail}"


class Refused(Exception):
    """A request ended with a status that the journey did not expect.

    It is counted as an error of its request. The visit ends unless the journey catches this.

    Args:
        status: the status code, 0 if no answer came.
        detail: the transport's error, or the start of the body.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status or 'no answer'}: {detail}")
        self.status = status
        self.detail = detail

    @property
    def is_outcome_unknown(self) -> bool:
        """Whether the target may have carried the request out."""
        return self.status == 0 or self.status >= 500
