"""Sessions in a Redis Cluster: a client that follows the slots, and binds that span two of them."""

from .routing import ClusterClient
from .slots import Address, Member, Slots
from .store import ClusterStore

__all__ = ["Address", "ClusterClient", "ClusterStore", "Member", "Slots"]
