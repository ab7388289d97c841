"""The client of the store: one call, its own reply, one deadline, on the right server."""
