"""Passwords: how they are hashed, and which ones may be chosen."""

import unicodedata
from typing import Final

from werkzeug.security import check_password_hash, generate_password_hash

METHOD: Final = "scrypt:16384:8:5"
"""N, r and p that the OWASP Password Storage Cheat Sheet allows for 16 MiB: the choice that several
threads of one small container can afford at once."""

NEW_LENGTHS: Final = range(8, 257)
"""In characters, of a password that is chosen: from the least of ASVS 5.0, 6.2.1, to a sentence."""

TRIED_LENGTHS: Final = range(NEW_LENGTHS.stop)
"""In characters, of a name or a password that is tried."""

# Of no user: checking it costs as much as checking a user's.
_NOBODY: Final = (
    "scrypt:16384:8:5$M0lLj21aCCmqV4i9$49564bae717266304351a6e38cec073521caaa13b"
    "e890ee757b603c6f4b1c8e0902e2b838c8d7281008298080dc6bc727022013c2e304b4fdbb2afddb31e44b9"
)


def hashed(password: str) -> str:
    """Return method, salt and hash of a password, to be stored."""
    return generate_password_hash(_normal(password), METHOD)


def matches(password: str, password_hash: str | None) -> bool:
    """Tell whether it is the password; without a hash False, after the same time."""
    right = check_password_hash(password_hash or _NOBODY, _normal(password))
    return right and password_hash is not None


def _normal(password: str) -> str:
    # Keyboards send the same letter composed or not. NIST SP 800-63B-4, 3.1.1.2 (August 2025) asks
    # for NFC. Revision 3 asked for NFKC, which also takes a superscript two for a 2.
    return unicodedata.normalize("NFC", password)
