"""The session cookie's value: ids, signatures, and the key ring.

The value is 96 characters of URL-safe base64 for 72 bytes: a version (1), the bucket (2), the
absolute limit in seconds (5), 32 random bytes, and keyed BLAKE2b (RFC 7693) over all of that (32),
which each request computes and which costs a fifth of HMAC-SHA256. The id never leaves the cookie:
the store has a digest of it, and logs and pages have the handle made of the digest.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator
from hashlib import blake2b, sha256
from typing import Final, NamedTuple

from .errors import Unserializable

BUCKETS: Final = 1024
"""The number of hash tags over which sessions are spread; a user's sessions and index share one."""

ENCODED_LENGTH: Final = 96
_VERSION: Final = 1
_ID_BYTES: Final = 32
_BODY_BYTES: Final = 40
_DIGEST_BYTES: Final = 16
_PERMANENT: Final = 1 << 39
"""The absolute limit's highest bit. A release that does not know it reads a limit far ahead. The
store applies the real limit in any case."""


class Reference(NamedTuple):
    """Where a session is in the store. It gives no access to the session."""

    bucket: int
    digest: bytes

    @property
    def handle(self) -> str:
        """24 URL-safe characters that are safe to show, log and pass to `revoke`."""
        return urlsafe_b64encode(self.bucket.to_bytes(2, "big") + self.digest).decode()

    @classmethod
    def from_handle(cls, handle: str) -> Reference | None:
        """Return the reference that a handle names; None if it is not a handle."""
        raw = _decoded(handle, 2 + _DIGEST_BYTES)
        if raw is None or (bucket := int.from_bytes(raw[:2], "big")) >= BUCKETS:
            return None
        return cls(bucket, raw[2:])


class Token(NamedTuple):
    """What a cookie with a good signature holds, or what a new one will hold.

    Attributes:
        identifier: the secret 256 bits.
        reference: where the session is in the store.
        ends_at: the absolute limit in seconds since 1970, 0 for none.
        outdated: it was signed with an earlier secret, so it should be signed and sent again.
        permanent: the browser keeps the cookie when it closes.
        pepper: the place of the pepper that the reference is made with, 0 for the current one.
    """

    identifier: bytes
    reference: Reference
    ends_at: int = 0
    outdated: bool = False
    permanent: bool = False
    pepper: int = 0

    def is_past(self, seconds: float) -> bool:
        """Return whether the absolute limit is before that time, in seconds since 1970."""
        return 0 < self.ends_at < seconds


class KeyRing:
    """Signs with the first secret, and accepts all secrets.

    A cookie does not say which pepper its session was stored under. New sessions and logins are
    stored under the first one, and sessions stay under theirs until then.
    """

    def __init__(self, secrets_: tuple[bytes, ...], *peppers: bytes | None) -> None:
        # Derived keys: what other code signs with the same SECRET_KEY is not accepted here.
        self._signers = tuple(
            blake2b(key=hmac.digest(secret, b"unsticky session cookie", "sha256"), digest_size=32)
            for secret in secrets_
        )
        self._peppers = peppers

    def mint(self, bucket: int | None = None, pepper: int = 0) -> Token:
        """Return a token with a new id from the operating system's random source."""
        bucket = secrets.randbelow(BUCKETS) if bucket is None else bucket
        return self.token(secrets.token_bytes(_ID_BYTES), bucket, pepper)

    def token(self, identifier: bytes, bucket: int, pepper: int = 0) -> Token:
        """Return the token of an id of 256 bits."""
        reference = Reference(bucket, self._digest(identifier, pepper))
        return Token(identifier, reference, pepper=pepper)

    def sign(self, token: Token, ends_at: int, *, permanent: bool = False) -> str:
        """Return the cookie's value; `ends_at` is in seconds since 1970, 0 for none."""
        body = (
            bytes((_VERSION,))
            + token.reference.bucket.to_bytes(2, "big")
            + (ends_at | _PERMANENT if permanent else ends_at).to_bytes(5, "big")
            + token.identifier
        )
        return urlsafe_b64encode(body + _signature(self._signers[0], body)).decode()

    def all_of(self, token: Token) -> Iterator[Token]:
        """Yield the token of a cookie under each pepper: where its session may be stored."""
        yield token
        for pepper in range(1, len(self._peppers)):
            reference = Reference(token.reference.bucket, self._digest(token.identifier, pepper))
            yield token._replace(reference=reference, pepper=pepper)

    def verify(self, value: str) -> Token | None:
        """Return what a cookie's value holds; None if it was not signed with these secrets."""
        raw = _decoded(value, ENCODED_LENGTH // 4 * 3)
        if raw is None or raw[0] != _VERSION:
            return None
        body, signature = raw[:_BODY_BYTES], raw[_BODY_BYTES:]
        for place, signer in enumerate(self._signers):
            if hmac.compare_digest(_signature(signer, body), signature):
                identifier = body[8:]
                bucket = int.from_bytes(body[1:3], "big")
                ends_at = int.from_bytes(body[3:8], "big")
                return Token(
                    identifier,
                    Reference(bucket, self._digest(identifier)),
                    ends_at & ~_PERMANENT,
                    outdated=place > 0,
                    permanent=ends_at & _PERMANENT != 0,
                )
        return None

    def subject(self, user: object) -> Reference:
        """Return where a login enters a user's session; see `subjects`."""
        return self.subjects(user)[0]

    def subjects(self, user: object) -> list[Reference]:
        """Return where a user's indexes are in the store, one for each pepper, the current first.

        Each has a bucket and a digest of the user's name.

        Raises:
            TypeError: the name is no str.
            Unserializable: it holds a lone surrogate, which has no UTF-8.
        """
        if not isinstance(user, str):
            raise TypeError(f"a user's name is a str, such as str(user.id), not {user!r}")
        try:
            name = b"user\0" + user.encode()
        except UnicodeEncodeError as error:
            raise Unserializable(
                f"the user's name {user!r} holds a lone surrogate, which has no UTF-8"
            ) from error
        digests = (self._digest(name, pepper) for pepper in range(len(self._peppers)))
        return [Reference(int.from_bytes(d[:2], "big") % BUCKETS, d) for d in digests]

    def _digest(self, data: bytes, place: int = 0) -> bytes:
        if (pepper := self._peppers[place]) is None:
            return sha256(b"unsticky identifier\0" + data).digest()[:_DIGEST_BYTES]
        return hmac.digest(pepper, data, "sha256")[:_DIGEST_BYTES]


def _signature(signer: blake2b, body: bytes) -> bytes:
    keyed = signer.copy()
    keyed.update(body)
    return keyed.digest()


def _decoded(value: str, length: int) -> bytes | None:
    """Return `length` bytes; None if `value` is not exactly their base64 text.

    Lengths are multiples of three. So there is no padding and no spare bit, and the same bytes have
    only one spelling.
    """
    if len(value) != length * 4 // 3 or "+" in value or "/" in value:
        return None
    try:
        return a2b_base64(value.replace("-", "+").replace("_", "/"), strict_mode=True)
    except (Base64Error, ValueError):
        return None
