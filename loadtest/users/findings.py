"""What a visit finds: an answer, and what is wrong with it."""

import json
from dataclasses import dataclass
from typing import Any

from runs.kinds import Kind

_SHOWN = 200


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        request: what was asked, under the name by which it is counted.
        status: the status code.
        body: the bytes.
        request_id: its ``X-Request-ID``, by which the logs know it; empty if it has none.
        served_by: its ``X-Served-By``, ``<replica>/<pid>``; empty if it has none.
        issuer: who served the answer that brought the session's cookie; empty if unknown.
        set_cookies: the names of the cookies that it set or removed.
    """

    request: str
    status: int
    body: bytes
    request_id: str
    served_by: str
    issuer: str
    set_cookies: frozenset[str]

    def json(self) -> Any:
        """Return the body, parsed.

        Raises:
            Finding: it is no JSON.
        """
        try:
            return json.loads(self.body)
        except ValueError:
            shown = self.body[:_SHOWN].decode(errors="replace")
            raise Finding(
                Kind.WRONG_ANSWER, f"no JSON with status {self.status}: {shown!r}", self
            ) from None


class Finding(Exception):
    """Something is wrong; it ends the visit, whose model of the target no longer holds.

    Args:
        kind: which of the kinds.
        detail: what was found instead of what, in words.
        answer: the one that shows it.
    """

    def __init__(self, kind: Kind, detail: str, answer: Answer | None = None) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
        self.answer = answer


class Refused(Exception):
    """A request ended with a status that the journey did not expect.

    It was counted as an error with its request; the visit ends unless the journey catches this.

    Args:
        status: the status code, 0 where no answer came.
        detail: the transport's error, or the start of the body.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status or 'no answer'}: {detail}")
        self.status = status
        self.detail = detail

    @property
    def is_outcome_unknown(self) -> bool:
        """Whether the request may have been carried out all the same."""
        return self.status == 0 or self.status >= 500
