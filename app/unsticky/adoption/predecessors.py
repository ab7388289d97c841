"""What the libraries used before have stored: Flask's signed cookie, Flask-Session's Redis entry.

Both are read as hostile input: sizes are capped, only plain data is built, pickle is never read.
"""

from __future__ import annotations

import json
import logging
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import msgpack
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadData, BadSignature, Signer
from itsdangerous.encoding import base64_decode, want_bytes

from ..errors import repeatable
from ..limits import Lifetimes
from ..stores.base import Deadline
from ..stores.client import Client, Script

_log = logging.getLogger("unsticky")

_MAX_ENTRY: Final = 1_048_576
"""The largest old session that is read, in bytes: 16 times the default of UNSTICKY_MAX_BYTES."""

_SID: Final = re.compile(r"[A-Za-z0-9_-]{16,256}")
"""Ids of Flask-Session: random text, or UUIDs in its first releases. There is no colon and no brace
in it, so that a cookie cannot name other keys of the server."""

_TOKEN_LENGTH: Final = 32
"""The least length of a random token; Flask-WTF's has 40 characters."""

_MAPS: Final = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})
"""The first byte of a map in MessagePack."""


@dataclass(frozen=True, slots=True)
class Old:
    """A session of the library used before.

    Attributes:
        identity: names it, and cannot be guessed without its cookie. It is the same for each
            spelling of one cookie.
        fields: what it holds.
        left: ms until it expires; 0 if that is at most the idle limit.
        unique: no other visitor can have the same identity.
        lineage: the same for all cookies that this session had one after the other, and for no
            other visitor's; empty if that is not known.
    """

    identity: bytes
    fields: Mapping[str, Any]
    left: int = 0
    unique: bool = True
    lineage: str = ""


class Claimed(NamedTuple):
    """An old session that was adopted before; `bucket` is that of its successor."""

    identity: bytes
    bucket: int


Found: TypeAlias = Old | Claimed | None


class Predecessor(Protocol):
    """Reads the sessions of one library."""

    def find(self, value: str, lifetimes: Lifetimes, deadline: Deadline) -> Found:
        """Return the session that a cookie's value names.

        Raises:
            StoreUnavailable: the old entry cannot be read now.
        """

    def end(self, identity: bytes, bucket: int, kept: int, deadline: Deadline) -> None:
        """End the old session. For `kept` ms its cookie still leads to its successor.

        Raises:
            StoreUnavailable, OutcomeUnknown: it may still exist. Ending it again does no harm.
        """

    def close(self) -> None:
        """Give connections back."""


class FlaskCookie:
    """Flask's own sessions: the whole session is in the signed cookie."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._interface = SecureCookieSessionInterface()

    def find(self, value: str, lifetimes: Lifetimes, deadline: Deadline) -> Found:
        """See `Predecessor.find`."""
        del deadline
        serializer = self._interface.get_signing_serializer(self._app)
        if serializer is None:
            return None
        try:
            fields = serializer.loads(value, max_age=lifetimes.idle // 1000)
        except BadData:
            return None
        if type(fields) is not dict:
            return None
        # Flask accepts many spellings of a signature in base64. The text before it has only one.
        signed, _, signature = value.rpartition(".")
        identity = signed.encode() + b"\0" + base64_decode(signature)
        # Two visitors who got the same content in the same second have the same cookie. Flask-WTF's
        # token is random, and is the same in all cookies of a session.
        token = fields.get("csrf_token")
        lineage = token if isinstance(token, str) and len(token) >= _TOKEN_LENGTH else ""
        return Old(identity, fields, unique=lineage != "", lineage=lineage)

    def end(self, identity: bytes, bucket: int, kept: int, deadline: Deadline) -> None:
        """Nothing is stored on the server."""

    def close(self) -> None:
        """Nothing is open."""


class FlaskSession:
    """Flask-Session's sessions in Redis. If `SESSION_USE_SIGNER` was on, `app` signed their ids."""

    def __init__(self, app: Flask, client: Client, prefix: str) -> None:
        self._app = app
        self._client = client
        self._prefix = prefix.encode()
        self._told_of_pickle = False

    def find(self, value: str, lifetimes: Lifetimes, deadline: Deadline) -> Found:
        """See `Predecessor.find`."""
        del lifetimes
        sid = self._sid(value)
        if sid is None:
            return None
        with repeatable():
            bucket, data, left = self._client.call(_FIND, self._keys(sid), _CAP, deadline)
        if bucket is not None:
            return Claimed(sid, int(bucket))
        if data is None:
            if left:
                _log.warning("a session of Flask-Session has %d bytes: it was not adopted", left)
            return None
        fields = self._decoded(data)
        return None if fields is None else Old(sid, fields, max(left, 0))

    def end(self, identity: bytes, bucket: int, kept: int, deadline: Deadline) -> None:
        """See `Predecessor.end`.

        Requests with the old cookie may still arrive, and the answer with the new one may be lost.
        So the way to the successor is kept, under a key that no cookie can name.
        """
        arguments = (b"%d" % bucket, b"%d" % kept)
        self._client.call(_END, self._keys(identity), arguments, deadline)

    def close(self) -> None:
        """See `Predecessor.close`."""
        self._client.close()

    def _keys(self, sid: bytes) -> tuple[bytes, bytes]:
        name = urlsafe_b64encode(sha256(b"unsticky adopted\0" + sid).digest()[:24])
        return self._prefix + sid, self._prefix + b"adopted:" + name

    def _sid(self, value: str) -> bytes | None:
        if "." in value:
            signer = Signer(_secrets(self._app), salt="flask-session", key_derivation="hmac")
            try:
                value = signer.unsign(value).decode()
            except (BadSignature, UnicodeDecodeError):
                return None
        elif self._app.config.get("SESSION_USE_SIGNER"):
            return None
        return value.encode() if _SID.fullmatch(value) else None

    def _decoded(self, data: bytes) -> Mapping[str, Any] | None:
        try:
            if data[:1] == b"{":
                fields = json.loads(data)
            elif data[0] in _MAPS:
                fields = msgpack.unpackb(
                    data, raw=False, strict_map_key=False, ext_hook=_refuse, timestamp=3
                )
            else:
                fields = None
        except (ValueError, TypeError, OverflowError, RecursionError):
            fields = None
        if type(fields) is dict:
            return fields
        if not self._told_of_pickle:
            self._told_of_pickle = True
            _log.warning(
                "sessions of Flask-Session that are neither MessagePack nor JSON are not adopted "
                "(releases before 0.7 wrote pickle, which can run code). Flask-Session 0.8 "
                "rewrites those of visitors who come: run it for a while before the switch"
            )
        return None


def _refuse(code: int, body: bytes) -> Any:
    del body
    raise ValueError(f"unknown extension type {code}")


def _secrets(app: Flask) -> list[bytes]:
    """Return the secrets, the current one last, as itsdangerous wants them."""
    secrets = (app.secret_key, *(app.config.get("SECRET_KEY_FALLBACKS") or ()))
    return [want_bytes(secret) for secret in reversed(secrets) if secret]


_CAP: Final = (b"%d" % _MAX_ENTRY,)

_FIND: Final = Script.from_text(
    """\
-- KEYS: the old entry, what was left when it was adopted. ARGV: most bytes.
-- Returns {bucket, nil, 0} if it was adopted, otherwise {nil, entry, PTTL}; {nil, nil, size} if it
-- is too large, {nil, nil, 0} if there is none.
local bucket = redis.call('GET', KEYS[2])
if bucket then return {bucket, false, 0} end
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then return {false, false, 0} end
local size = redis.call('STRLEN', KEYS[1])
if size == 0 or size > tonumber(ARGV[1]) then return {false, false, size} end
return {false, redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}
""",
    "find_predecessor",
)

_END: Final = Script.from_text(
    """\
-- KEYS: as above. ARGV: bucket of the successor, how long to keep it (ms).
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[1])
return 1
""",
    "end_predecessor",
)
