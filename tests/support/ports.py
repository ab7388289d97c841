"""Ports for servers that tests start."""

import itertools
import os
import socket
from typing import Final

# Below those that systems give to clients, one of which could take a port before it is used. Each
# process of tests has its own: 85 sets of 200.
_FIRST: Final = 15_000 + os.getpid() % 85 * 200
_ports = itertools.cycle(range(_FIRST, _FIRST + 200))


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 on which nothing listens, a different one each time."""
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError  # pragma: no cover (they never end)
