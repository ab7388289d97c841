"""Which names tell that their value is a secret: of headers, cookies, fields, inputs."""

import re
from urllib.parse import unquote

_ANYWHERE = re.compile(
    "password|passwd|passwort|passphrase|passcode|pwd|secret|token|csrf|xsrf|credential|"
    "authorization|cookie|sessionid|sessid|jwt|bearer|signature|assertion|samlresponse|verifier|"
    "nonce|"
    # What opens something, and not the code of a product or the key of a table.
    "(?:auth|otp|mfa|2fa|sms|login|unlock|device|recovery|backup|verification|security|reset|access|"
    "api|private|signing|session|encryption|master)(?:code|key)|(?:card|cc)num"
)
"""In any place, in lower case and without signs: `csrfToken`, `X-Auth-Key`, `recovery_codes`."""
_LAST = frozenset(
    {"pw", "pass", "pin", "otp", "totp", "auth", "sid", "sig", "cvc", "cvv", "csc", "ticket"}
)
"""Too short for any place: the last word, as in `connect.sid` or `userPin`."""
_IN_PAIRS = frozenset({"code", "state", "session", "key"})
"""Whole names in headers, URLs and forms: OAuth's, for example. In JSON they mean other things."""
_ABOUT = frozenset(
    {
        *("type", "name", "count", "length", "size", "version", "algorithm", "method", "policy"),
        *("expiry", "expires", "expiration", "ttl", "age", "at", "in", "limit", "endpoint"),
        *("enabled", "required"),
    }
)
"""Last words that tell something about a secret: `token_type`, `passwordChangedAt`."""
_AMOUNT = frozenset({"max", "min", "total"})
"""First words that do: `max_tokens`."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def is_secret(name: str, *, in_pair: bool = False) -> bool:
    """Whether the value of this name is a secret.

    Args:
        name: as it is spelt: `user[password]`, `X-CSRF-Token`, `otpCode`.
        in_pair: whether it stands in a header, a URL or a form.
    """
    words = [word.lower() for word in _WORD.findall(unquote(name))]
    if not words or words[-1] in _ABOUT or words[0] in _AMOUNT:
        return False
    joined = re.sub(r"[^a-z0-9]", "", unquote(name).lower())
    return (
        words[-1] in _LAST
        or _ANYWHERE.search(joined) is not None
        or (in_pair and joined.removeprefix("x") in _IN_PAIRS)
    )
