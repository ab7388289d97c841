"""Sentinel: the URL that names a service, and which server is its primary now."""

from .place import SCHEMES, Place
from .primary import Primary, confirm_primary

__all__ = ["SCHEMES", "Place", "Primary", "confirm_primary"]
