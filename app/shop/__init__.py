"""The demo shop: a catalog and a cart whose session any worker can serve.

It shows how an application uses ``unsticky``, and it holds the HTTP contract
that the tests, the load tests and the proofs rely on.
"""

from shop.factory import create_app
from shop.settings import Settings, SettingsError

__all__ = ["Settings", "SettingsError", "create_app"]
