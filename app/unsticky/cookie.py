"""The session cookie's value: minting, signing, verifying, and the key ring.

The value is 96 characters of URL-safe base64 over 72 bytes: a version, the bucket (2), the absolute
limit in seconds (5), 32 random bytes, and keyed BLAKE2b (RFC 7693) over all of that, which costs a
fifth of HMAC-SHA256 and is on every request's path. The id never leaves the cookie: the store
knows a digest of it, and logs and pages know the handle made of the digest.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from hashlib import blake2b, sha256
from typing import Final, NamedTuple

from .errors import Unserializable

BUCKETS: Final = 1024
"""Sessions are spread over this many hash tags; a user's sessions and index share one."""

ENCODED_LENGTH: Final = 96
_VERSION: Final = 1
_ID_BYTES: Final = 32
_BODY_BYTES: Final = 40
_DIGEST_BYTES: Final = 16
_PERMANENT: Final = 1 << 39
"""The absolute limit's highest bit. A release that does not know it reads a limit far ahead, and
leaves the limit to the store, which keeps it in any case."""


class Reference(NamedTuple):
    """Where a session lives in the store; it gives no access to the session."""

    bucket: int
    digest: bytes

    @property
    def handle(self) -> str:
        """24 URL-safe characters that are safe to show, log and pass to `revoke`."""
        return urlsafe_b64encode(self.bucket.to_bytes(2, "big") + self.digest).decode()

    @classmethod
    def from_handle(cls, handle: str) -> Reference | None:
        """Return the reference that a handle names, or None if it is no handle."""
        raw = _decoded(handle, 2 + _DIGEST_BYTES)
        if raw is None or (bucket := int.from_bytes(raw[:2], "big")) >= BUCKETS:
            return None
        return cls(bucket, raw[2:])


class Token(NamedTuple):
    """What a cookie holds once its signature was found good, or what a new one will hold.

    Attributes:
        identifier: the secret 256 bits.
        reference: where the session lives.
        ends_at: the absolute limit in seconds since 1970, 0 for none.
        outdated: signed with an earlier secret, so that it should be signed and sent again.
        permanent: the browser was told to keep the cookie when it closes.
    """

    identifier: bytes
    reference: Reference
    ends_at: int = 0
    outdated: bool = False
    permanent: bool = False

    def is_past(self, seconds: float) -> bool:
        """Tell whether the absolute limit lies before that time, in seconds since 1970."""
        return 0 < self.ends_at < seconds


class KeyRing:
    """Signs with the first secret, accepts all of them."""

    def __init__(self, secrets_: tuple[bytes, ...], pepper: bytes | None) -> None:
        # Derived, so that the same SECRET_KEY used elsewhere signs nothing that passes here.
        self._signers = tuple(
            blake2b(key=hmac.digest(secret, b"unsticky session cookie", "sha256"), digest_size=32)
            for secret in secrets_
        )
        self._pepper = pepper

    def mint(self, bucket: int | None = None) -> Token:
        """Return a token with a new id from the operating system's random source."""
        bucket = secrets.randbelow(BUCKETS) if bucket is None else bucket
        return self.token(secrets.token_bytes(_ID_BYTES), bucket)

    def token(self, identifier: bytes, bucket: int) -> Token:
        """Return the token of an id of 256 bits."""
        return Token(identifier, Reference(bucket, self._digest(identifier)))

    def sign(self, token: Token, ends_at: int, *, permanent: bool = False) -> str:
        """Return the cookie's value; `ends_at` is in seconds since 1970, 0 for none."""
        body = (
            bytes((_VERSION,))
            + token.reference.bucket.to_bytes(2, "big")
            + (ends_at | _PERMANENT if permanent else ends_at).to_bytes(5, "big")
            + token.identifier
        )
        return urlsafe_b64encode(body + _signature(self._signers[0], body)).decode()

    def verify(self, value: str) -> Token | None:
        """Return what a cookie's value holds, or None for whatever was not signed here."""
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
        """Return where a user's index lives: bucket and digest of the user's name.

        Raises:
            TypeError: the name is no str.
            Unserializable: it holds a lone surrogate, which has no UTF-8.
        """
        if not isinstance(user, str):
            message = f"a user's name is a str, such as str(user.id), not {user!r}"
            raise TypeError(message)
        try:
            digest = self._digest(b"user\0" + user.encode())
        except UnicodeEncodeError as error:
            message = f"the user's name {user!r} holds a lone surrogate, which has no UTF-8"
            raise Unserializable(message) from error
        return Reference(int.from_bytes(digest[:2], "big") % BUCKETS, digest)

    def _digest(self, data: bytes) -> bytes:
        if self._pepper is None:
            return sha256(b"unsticky identifier\0" + data).digest()[:_DIGEST_BYTES]
        return hmac.digest(self._pepper, data, "sha256")[:_DIGEST_BYTES]


def _signature(signer: blake2b, body: bytes) -> bytes:
    keyed = signer.copy()
    keyed.update(body)
    return keyed.digest()


def _decoded(value: str, length: int) -> bytes | None:
    """Return `length` bytes, or None where `value` is not exactly their base64 text.

    Lengths are multiples of three, so that no padding and no spare bits leave room for a second
    spelling of the same bytes.
    """
    if len(value) != length * 4 // 3 or "+" in value or "/" in value:
        return None
    try:
        return a2b_base64(value.replace("-", "+").replace("_", "/"), strict_mode=True)
    except (Base64Error, ValueError):
        return None
