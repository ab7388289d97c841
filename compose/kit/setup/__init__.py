"""Private Python environments."""
