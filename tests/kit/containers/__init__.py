"""The verbs on containers."""
