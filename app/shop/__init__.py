"""The demo shop: a catalog, a cart and orders, whose sessions any worker can serve.

It shows how an application uses `unsticky`, and keeps the contract of docs/http-api.md.
"""

from shop.factory import create_app
from shop.settings import Settings, SettingsError

__all__ = ["Settings", "SettingsError", "create_app"]
