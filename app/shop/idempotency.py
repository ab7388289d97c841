"""Idempotency-Key: a request sent again has no second effect, and gets the first one's answer.

The semantics are those of the IETF draft (draft-ietf-httpapi-idempotency-key-header). A key holds
for 24 hours, for one session, method and path:

- the same request again gets the stored answer, marked with ``Idempotency-Replayed: true``;
- another request with that key is a 422;
- while the first is being answered, 409 with ``Retry-After``; nginx's own resend of it goes on;
- a malformed key is a 400.

A worker may die after the effect and before its answer is stored. Then a later request does the
work again, and finds the effect: what it changes is named after the key, too. So answers of 500 and
above need not be stored. A client without a session gets no replay, because nobody else's may reach
it.

Forms bring their key in a hidden field.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from hashlib import sha256
from http import HTTPStatus
from secrets import token_urlsafe
from typing import Final, ParamSpec

from flask import Response, current_app, request
from flask.typing import ResponseReturnValue
from unsticky import SessionError

from shop.body import FORM_TYPES
from shop.current import current_session, current_shop, name_operations
from shop.problems import Problem
from shop.records.answers import Answer, Answers, Busy, Other
from shop.request_id import current_request_id

HEADER: Final = "Idempotency-Key"
FIELD: Final = "idempotency_key"
"""The name of a form's hidden field; new_key() is its value."""

_P = ParamSpec("_P")

# A string of RFC 9651, as the draft has it, or its characters without the quotes, as most clients
# send it: then without space, comma, semicolon, quote and backslash, with which it would be a list,
# have parameters or be half a string.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"')
_BARE = re.compile(r"[!#-+\--:<-\[\]-~]{1,255}")


def new_key() -> str:
    """Return a key for a form's hidden field."""
    return token_urlsafe(16)


def idempotent(view: Callable[_P, ResponseReturnValue]) -> Callable[_P, ResponseReturnValue]:
    """Decorate a view so that it honours the request's key.

    What the view changes must be atomic operations of the session, or of records that take a
    next_operation(), and for the same request the same ones in the same order.
    """

    @wraps(view)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> ResponseReturnValue:
        key, session = _key(), current_session()
        # A session that ended, or that only a cookie speaks of, has no time of creation.
        if key is None or session.created is None:
            return view(*args, **kwargs)
        name = sha256(f"{request.method}\0{request.path}\0{key}".encode()).hexdigest()[:32]
        work = _Work(str(session.handle), name, _fingerprint(), str(current_request_id()))
        stored = work.begin()
        if stored is not None:
            return _replayed(stored)
        name_operations(f"{work.scope} {name}")
        return work.do(lambda: view(*args, **kwargs))

    return run


@dataclass(frozen=True)
class _Work:
    """What is to be answered once: see `Answers`."""

    scope: str
    name: str
    fingerprint: str
    request_id: str

    def begin(self) -> Answer | None:
        """Return the stored answer; ``None`` if this request is to find one.

        Raises:
            Problem: 422 if the key came with another request, 409 while that one is being answered.
        """
        found = self._answers.begin(self.scope, self.name, self.fingerprint, self.request_id)
        if isinstance(found, Other):
            detail = (
                f"This {HEADER} came before with another request to {request.path}; "
                "make a new key for each request that is to have an effect of its own."
            )
            raise Problem(422, detail, code="idempotency-key-reused")
        if isinstance(found, Busy):
            detail = "The request with this key is being answered; send it again in a moment."
            headers = {"Retry-After": str(-(-found.left // 1000))}
            raise Problem(409, detail, code="idempotency-key-in-flight", headers=headers)
        return found if isinstance(found, Answer) else None

    def do(self, view: Callable[[], ResponseReturnValue]) -> Response:
        """Let the view answer, and keep the answer if it would be the same again."""
        lasting = False
        try:
            try:
                response = current_app.make_response(current_app.ensure_sync(view)())
            except Problem as problem:
                response = problem.response()
            if response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                self._answers.keep(self.scope, self.name, self.fingerprint, _answer(response))
                lasting = True
            return response
        finally:
            if not lasting:
                self._free()

    @property
    def _answers(self) -> Answers:
        return current_shop().records.answers

    def _free(self) -> None:
        # What cannot be freed ends with its lease.
        with suppress(SessionError):
            self._answers.free(self.scope, self.name, self.request_id)


def _key() -> str | None:
    """Return the key that this request brings, ``None`` without one.

    Raises:
        Problem: 400 if it is malformed.
    """
    given = request.headers.get(HEADER)
    if given is None and request.mimetype in FORM_TYPES:
        given = request.form.get(FIELD)
    if given is None:
        return None
    quoted = _QUOTED.fullmatch(given)
    if quoted:
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if not _BARE.fullmatch(given):
        detail = (
            f"The {HEADER} {given[:40]!r} is malformed: send one string of 1 to 255 ASCII "
            f'characters in double quotes, such as "8e03978e-40d5-43e8-bc93-6894a57f9324".'
        )
        raise Problem(400, detail, code="idempotency-key-malformed")
    return given


def _fingerprint() -> str:
    """Return what tells this request from others with its key."""
    if request.mimetype in FORM_TYPES:
        # Not its bytes: each submission of a multipart form has a boundary of its own.
        text = repr(sorted(request.form.items(multi=True))).encode()
    else:
        text = request.mimetype.encode() + b"\0" + request.get_data()
    return sha256(text).hexdigest()[:32]


def _answer(response: Response) -> Answer:
    return Answer(
        response.status_code,
        response.content_type or "",
        response.headers.get("Location", ""),
        response.get_data(as_text=True),
    )


def _replayed(answer: Answer) -> Response:
    response = Response(answer.body, answer.status, content_type=answer.media_type)
    if answer.location:
        response.headers["Location"] = answer.location
    response.headers["Cache-Control"] = "no-store"
    response.headers["Idempotency-Replayed"] = "true"
    return response
