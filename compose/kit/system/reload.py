"""Reload nginx without losing a request."""

import time
from collections.abc import Callable

from kit.errors import KitError

_RELOAD_SECONDS = 10
# Longer than worker_shutdown_timeout in nginx.conf, 35 s, which ends the old workers.
DRAIN_SECONDS = 40


def reload(send: Callable[[], object], workers: Callable[[], frozenset[int]], *hints: str) -> None:
    """Send nginx a signal, and wait until new workers (pids) run and the old ones have gone.

    Raises:
        KitError: nginx keeps its former configuration.
    """
    old = workers()
    send()
    deadline = time.monotonic() + _RELOAD_SECONDS
    while not workers() - old:
        if time.monotonic() > deadline:
            raise KitError("nginx does not use its new configuration", *hints)
        time.sleep(0.05)
    deadline = time.monotonic() + DRAIN_SECONDS
    while workers() & old and time.monotonic() < deadline:
        time.sleep(0.05)
