"""Requests that take turns at the store, at every interleaving that matters."""
