"""The session cookie's value: minting, signing, verifying, and the key ring.

The value is 96 characters of URL-safe base64 over 72 bytes: a version, the bucket (2), the absolute
deadline in seconds (5), 32 random bytes, and HMAC-SHA256 over all of that. The id never leaves the
cookie: the store knows a digest of it, and logs and pages know the handle made of the digest.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

BUCKETS: Final = 1024
"""Sessions are spread over this many hash tags; a user's sessions and index share one."""

ENCODED_LENGTH: Final = 96
_VERSION: Final = 1
_ID_BYTES: Final = 32
_BODY_BYTES: Final = 40
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Reference:
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


@dataclass(frozen=True, slots=True)
class Token:
    """What a cookie holds once its signature was found good, or what a new one will hold.

    Attributes:
        identifier: the secret 256 bits.
        reference: where the session lives.
        deadline: the absolute limit in seconds since 1970, 0 for none.
        outdated: signed with an earlier secret, so that it should be signed and sent again.
    """

    identifier: bytes
    reference: Reference
    deadline: int = 0
    outdated: bool = False


class KeyRing:
    """Signs with the first secret, accepts all of them."""

    def __init__(self, secrets_: tuple[bytes, ...], pepper: bytes | None) -> None:
        # Derived, so that the same SECRET_KEY used elsewhere signs nothing that passes here.
        self._keys = tuple(
            hmac.digest(secret, b"unsticky session cookie", "sha256") for secret in secrets_
        )
        self._pepper = pepper

    def mint(self, bucket: int | None = None) -> Token:
        """Return a token with a new id from the operating system's random source."""
        identifier = secrets.token_bytes(_ID_BYTES)
        bucket = secrets.randbelow(BUCKETS) if bucket is None else bucket
        return Token(identifier, Reference(bucket, self._digest(identifier)))

    def sign(self, token: Token, deadline: int) -> str:
        """Return the cookie's value; `deadline` is in seconds since 1970, 0 for none."""
        body = (
            bytes((_VERSION,))
            + token.reference.bucket.to_bytes(2, "big")
            + deadline.to_bytes(5, "big")
            + token.identifier
        )
        return urlsafe_b64encode(body + hmac.digest(self._keys[0], body, "sha256")).decode()

    def verify(self, value: str) -> Token | None:
        """Return what a cookie's value holds, or None for whatever was not signed here."""
        raw = _decoded(value, ENCODED_LENGTH // 4 * 3)
        if raw is None or raw[0] != _VERSION:
            return None
        body, signature = raw[:_BODY_BYTES], raw[_BODY_BYTES:]
        for place, key in enumerate(self._keys):
            if hmac.compare_digest(hmac.digest(key, body, "sha256"), signature):
                identifier = body[8:]
                bucket = int.from_bytes(body[1:3], "big")
                deadline = int.from_bytes(body[3:8], "big")
                return Token(
                    identifier,
                    Reference(bucket, self._digest(identifier)),
                    deadline,
                    outdated=place > 0,
                )
        return None

    def subject(self, user: str) -> Reference:
        """Return where a user's index lives: bucket and digest of the user's name."""
        digest = self._digest(b"user\0" + user.encode())
        return Reference(int.from_bytes(digest[:2], "big") % BUCKETS, digest)

    def _digest(self, data: bytes) -> bytes:
        if self._pepper is None:
            return sha256(b"unsticky identifier\0" + data).digest()[:_DIGEST_BYTES]
        return hmac.digest(self._pepper, data, "sha256")[:_DIGEST_BYTES]


def _decoded(value: str, length: int) -> bytes | None:
    """Return `length` bytes, or None where `value` is not exactly their base64 text."""
    if len(value) != length * 4 // 3:
        return None
    try:
        raw = urlsafe_b64decode(value)
    except (Base64Error, ValueError):
        return None
    # The decoder skips characters that are not base64: only one spelling may pass.
    return raw if urlsafe_b64encode(raw).decode() == value else None
