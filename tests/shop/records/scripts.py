"""Scripts of the tests' own."""

from hashlib import sha1

from shop.records.seam import Script


def script(source: str) -> Script:
    """Return a script of that source."""
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())
