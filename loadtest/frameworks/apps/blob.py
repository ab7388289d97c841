"""A blob session: the cheapest session on a server. It is a floor to compare with, not for use.

The cookie holds the id, signed with HMAC-SHA256; the session is one JSON text. Loading is one
GETEX, which renews its lifetime. Saving is one SET, only if a key was assigned. Nothing is lazy,
merged, hashed or bounded.
"""

import hmac
import json
import secrets

import redis
from flask import Flask, Request
from flask.sessions import SecureCookieSession, SessionInterface, SessionMixin
from werkzeug.wrappers import Response

_SIGNATURE = 64


class BlobSession(SecureCookieSession):
    """The whole session; `modified` once a key was assigned."""

    identifier = ""


class BlobInterface(SessionInterface):
    """See the module."""

    def __init__(self, client: redis.Redis, secret: bytes, lifetime: int) -> None:
        self._client = client
        self._secret = secret
        self._lifetime = lifetime

    def open_session(self, app: Flask, request: Request) -> BlobSession:
        """Load the session that the cookie names, if its signature is good."""
        value = request.cookies.get(app.config["SESSION_COOKIE_NAME"])
        if value is None:
            return BlobSession()
        identifier, signature = value[:-_SIGNATURE], value[-_SIGNATURE:]
        if not hmac.compare_digest(self._signature(identifier), signature):
            return BlobSession()
        text = self._client.getex("blob:" + identifier, ex=self._lifetime)
        session = BlobSession({} if text is None else json.loads(text))
        session.identifier = "" if text is None else identifier
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Store the session if a key was assigned."""
        assert isinstance(session, BlobSession)
        response.headers.add("Vary", "Cookie")
        if not session.modified:
            return
        created = not session.identifier
        session.identifier = session.identifier or secrets.token_urlsafe(32)
        self._client.set("blob:" + session.identifier, json.dumps(session), ex=self._lifetime)
        if created:
            response.set_cookie(
                app.config["SESSION_COOKIE_NAME"],
                session.identifier + self._signature(session.identifier),
                httponly=True,
                samesite="Lax",
            )

    def _signature(self, identifier: str) -> str:
        return hmac.digest(self._secret, identifier.encode(), "sha256").hex()
