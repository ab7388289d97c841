"""The HTTP contract of the shop, in containers."""
