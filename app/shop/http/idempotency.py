"""Idempotency-Key: a request that is sent again has no second effect and gets the same answer.

docs/http-api.md says what holds; the semantics are those of the IETF draft
(draft-ietf-httpapi-idempotency-key-header).

A worker may die after the effect and before it stores the answer. Then a later request runs the
view again, and its atomic operations find that they are done: they are named after the key
(`session.once`), and so is the order (`operation_name`). So not every answer must be stored, and it
does no harm if two requests run the view at once. A client without a session gets no replay,
because no answer may reach another client.

Forms bring their key in a hidden field.
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any, Final, ParamSpec, cast

from flask import Response, current_app, g, request
from flask.typing import ResponseReturnValue
from unsticky import SessionError, session

from shop.context import current_shop, request_id
from shop.errors import CartEmpty, Refusal, quoted
from shop.http.parsing import FORM_TYPES
from shop.http.problems import Problem, of_refusal
from shop.store import digest, key

HEADER: Final = "Idempotency-Key"
FIELD: Final = "idempotency_key"
"""The name of a form's hidden field; `new_key` is its value."""

LEASE_MS: Final = 5_000
"""How long a request may work on its answer before another may: a worker that died says nothing.
It may be short, because a second run has the same effect."""

_KEPT: Final = 24 * 3600
"""Seconds."""

MOST_STORED: Final = 8 * 1024
"""Bytes of an answer's body that are stored."""

_STORED_STATUSES: Final = frozenset({200, 201, 204, 303, 409})
"""What succeeded, also by a form, or conflicted: another run would answer something else."""

_P = ParamSpec("_P")

# A string of RFC 9651, as the draft has it, or its characters without the quotes, as most clients
# send it: then without space, comma, semicolon, quote and backslash, with which it would be a list,
# have parameters or be half a string.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"')
_BARE = re.compile(r"[!#-+\--:<-\[\]-~]{1,255}")


class KeyInFlight(Problem):
    """The first request with this key is still being answered."""


def new_key() -> str:
    """Return a key for a form's hidden field."""
    return token_urlsafe(16)


def operation_name() -> str:
    """Return the name of what this request does: by its key, or by the request's id."""
    return cast("str", g.get("operation") or f"request {request_id()}")


def idempotent(view: Callable[_P, ResponseReturnValue]) -> Callable[_P, ResponseReturnValue]:
    """Decorate a view so that it honours the request's key.

    The view may change the session by its atomic operations, and may write records that are named
    by `operation_name` and written once.
    """

    @wraps(view)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> ResponseReturnValue:
        given = _key()
        # A session that ended, or a cookie without a session, has no time of creation.
        if given is None or session.created is None:
            return view(*args, **kwargs)
        name = digest(str(session.handle), request.method, request.path, given)
        answer = _Answer(name)
        if stored := answer.begin():
            return stored
        g.operation = name
        session.once(name)
        return answer.of(lambda: view(*args, **kwargs))

    return run


class _Answer:
    """The answer that belongs to a key: three records in the store, by the name of the key.

    They are the fingerprint of the request that the key came with, the lease of the request that
    is being answered, and the answer itself.
    """

    def __init__(self, name: str) -> None:
        self._fingerprint = _fingerprint()
        self._request, self._lease, self._stored = (
            key(kind, name) for kind in ("request", "lease", "answer")
        )

    def begin(self) -> Response | None:
        """Return the stored answer; None if this request is to find one.

        Raises:
            KeyInFlight: 409: that one is being answered.
            Problem: 422 if the key came with another request.
        """
        me = str(request_id())
        _, known, stored, mine, holder, left = current_shop().store.ask_all(
            ("SET", self._request, self._fingerprint, "NX", "EX", _KEPT),
            ("GET", self._request),
            ("GET", self._stored),
            ("SET", self._lease, me, "NX", "PX", LEASE_MS),
            ("GET", self._lease),
            ("PTTL", self._lease),
        )
        answer: dict[str, Any] = json.loads(stored) if stored else {}
        first = answer.get("fingerprint") or (known.decode() if known else self._fingerprint)
        if self._fingerprint != first:
            if mine:
                self._free(self._lease)
            detail = (
                f"This {HEADER} came before with another request to {request.path}; "
                "send a new key with each new request."
            )
            raise Problem(422, detail, code="idempotency-key-reused")
        if answer:
            return _replayed(answer)
        if (holder or b"").decode() == me:
            return None
        detail = "The request with this key is being answered; send it again in a moment."
        headers = {"Retry-After": str(max(1, -(-left // 1000)))}
        raise KeyInFlight(409, detail, code="idempotency-key-in-flight", headers=headers)

    def of(self, view: Callable[[], ResponseReturnValue]) -> Response:
        """Let the view answer, and store the answer unless another run would find it again."""
        stored = False
        try:
            try:
                response = current_app.make_response(current_app.ensure_sync(view)())
            except CartEmpty:
                raise  # another run would find the same, at no cost
            except Refusal as refusal:
                response = of_refusal(refusal).response()
            if response.status_code in _STORED_STATUSES:
                stored = self._store(response)
            return response
        finally:
            if not stored:
                self._free(self._request, self._lease)

    def _store(self, response: Response) -> bool:
        """Store an answer that is not too large; return whether it is stored."""
        if len(response.get_data()) > MOST_STORED:
            return False
        answer = {
            "fingerprint": self._fingerprint,
            "status": response.status_code,
            "type": response.content_type,
            "location": response.headers.get("Location"),
            "body": response.get_data(as_text=True),
        }
        # The first answer stays: another request may have been given it.
        text = json.dumps(answer)
        current_shop().store.ask("SET", self._stored, text, "NX", "EX", _KEPT)
        return True

    def _free(self, *records: str) -> None:
        # A lease that cannot be removed ends by itself.
        with suppress(SessionError):
            current_shop().store.ask("DEL", *records)


def _key() -> str | None:
    """Return the key that this request brings, None without one.

    Raises:
        Problem: 400 if it is malformed.
    """
    given = request.headers.get(HEADER)
    if given is None and request.mimetype in FORM_TYPES:
        given = request.form.get(FIELD)
    if given is None:
        return None
    string = _QUOTED.fullmatch(given)
    if string:
        return re.sub(r"\\(.)", r"\1", string[1])
    if not _BARE.fullmatch(given):
        detail = (
            f"The {HEADER} {quoted(given)} is malformed: send one string of 1 to 255 ASCII "
            f'characters in double quotes, such as "8e03978e-40d5-43e8-bc93-6894a57f9324".'
        )
        raise Problem(400, detail, code="idempotency-key-malformed")
    return given


def _fingerprint() -> str:
    """Return what tells this request from others with its key."""
    if request.mimetype in FORM_TYPES:
        # Not the bytes: each submission of a multipart form has another boundary.
        text = repr(sorted(request.form.items(multi=True))).encode()
    else:
        text = request.mimetype.encode() + b"\0" + request.get_data()
    return sha256(text).hexdigest()[:32]


def _replayed(answer: dict[str, Any]) -> Response:
    response = Response(answer["body"], answer["status"], content_type=answer["type"])
    if answer["location"]:
        response.headers["Location"] = answer["location"]
    response.headers["Cache-Control"] = "no-store"
    response.headers["Idempotency-Replayed"] = "true"
    return response
