"""Ports for servers that tests start."""

import socket

_given: set[int] = set()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 on which nothing listens, a different one each time."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        # The system may give the same port twice before the first one is used.
        if port not in _given:
            _given.add(port)
            return port
