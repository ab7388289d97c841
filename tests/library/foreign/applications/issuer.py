"""A pretended OAuth 2 and OpenID Connect provider, inside the process of the application.

`pretend()` replaces `requests.Session.send`, so that no address outside is asked. Codes are made by
the driver (`authorize`), redeemed once across all workers, and signed for with one key, which all
workers find in the folder that ISSUER_DIR names.
"""

import base64
import hashlib
import json
import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

PERSON = {
    "sub": "1", "name": "Ann", "login": "ann", "email": "ann@example.org", "email_verified": True
}  # fmt: skip


def authorize(url: str) -> str:
    """Agree to what an authorization URL asks for; return the path of the callback."""
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    grant = {"nonce": asked.get("nonce"), "client": asked["client_id"], "serial": uuid4().hex}
    query = urlencode({"code": _encoded(grant), "state": asked["state"]})
    return f"{urlsplit(asked['redirect_uri']).path}?{query}"


def redemptions(folder: Path) -> tuple[int, int]:
    """Return how many codes were redeemed, and how many more times one was tried again."""
    return len([*folder.glob("redeemed-*")]), len([*folder.glob("refused-*")])


def create_key(folder: Path) -> None:
    """Put the key there with which all workers sign."""
    serialization = _primitive("serialization")
    key = _primitive("asymmetric.rsa").generate_private_key(65537, 2048)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(text)


def pretend() -> None:
    """Answer all that this process asks through `requests`."""
    requests: Any = import_module("requests")  # the driver runs without it
    folder = Path(os.environ["ISSUER_DIR"])

    def send(_: Any, request: Any, **options: Any) -> Any:
        del options
        status, content = _answer(folder, request)
        response = requests.Response()
        response.status_code, response.url, response.request = status, request.url, request
        response.headers["Content-Type"] = "application/json"
        response._content = json.dumps(content).encode()  # noqa: SLF001 (no other way to make one)
        return response

    requests.Session.send = send


def _answer(folder: Path, request: Any) -> tuple[int, dict[str, Any]]:
    parts = urlsplit(request.url)
    base = f"{parts.scheme}://{parts.netloc}"
    match parts.path.rpartition("/")[2]:
        case "openid-configuration":
            return 200, {
                "issuer": f"{base}/", "authorization_endpoint": f"{base}/authorize",
                "token_endpoint": f"{base}/token", "userinfo_endpoint": f"{base}/userinfo",
                "jwks_uri": f"{base}/jwks", "id_token_signing_alg_values_supported": ["RS256"],
            }  # fmt: skip
        case "token" | "access_token":
            return _token(folder, f"{base}/", parse_qs(_text(request.body)))
        case "jwks":
            numbers = _key(folder).public_key().public_numbers()
            return 200, {
                "keys": [
                    {
                        "kty": "RSA", "kid": "1", "alg": "RS256", "use": "sig",
                        "n": _number(numbers.n), "e": _number(numbers.e),
                    }
                ]
            }  # fmt: skip
        case "userinfo" | "user":
            return 200, PERSON
    raise AssertionError(f"an address outside is asked: {request.url}")


def _token(folder: Path, base: str, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
    code = form["code"][0]
    name = hashlib.sha256(code.encode()).hexdigest()
    try:
        (folder / f"redeemed-{name}").touch(exist_ok=False)
    except FileExistsError:
        (folder / f"refused-{name}-{uuid4().hex}").touch()
        return 400, {"error": "invalid_grant", "error_description": "the code was redeemed"}
    grant = json.loads(base64.urlsafe_b64decode(code + "=="))
    token = {"access_token": uuid4().hex, "token_type": "Bearer", "scope": "openid profile email"}
    now = int(time.time())
    claims = {"iss": base, "aud": grant["client"], "iat": now, "exp": now + 600, **PERSON}
    if grant["nonce"]:
        claims["nonce"] = grant["nonce"]
    return 200, {**token, "expires_in": 600, "id_token": _signed(folder, claims)}


def _signed(folder: Path, claims: dict[str, Any]) -> str:
    padding, digest = _primitive("asymmetric.padding"), _primitive("hashes").SHA256()
    text = f"{_encoded({'alg': 'RS256', 'kid': '1'})}.{_encoded(claims)}"
    signature = _key(folder).sign(text.encode(), padding.PKCS1v15(), digest)
    return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _key(folder: Path) -> Any:
    return _primitive("serialization").load_pem_private_key((folder / "key.pem").read_bytes(), None)


def _primitive(name: str) -> Any:
    # In the applications' environments only.
    return import_module(f"cryptography.hazmat.primitives.{name}")


def _number(value: int) -> str:
    content = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _encoded(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def _text(body: Any) -> str:
    return body.decode() if isinstance(body, bytes) else str(body)
