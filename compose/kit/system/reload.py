"""Reload nginx without losing a request."""

import time
from collections.abc import Callable

from kit.errors import KitError

_RELOAD_SECONDS = 10


def reload(
    send: Callable[[], object],
    workers: Callable[[], frozenset[int]],
    *hints: str,
    drain_seconds: int = 40,
) -> None:
    """Send nginx a signal, and wait until new workers (pids) run and the old ones have gone.

    Args:
        send: sends it.
        workers: returns the pids of nginx's workers.
        hints: what to do if nginx does not reload.
        drain_seconds: longer than worker_shutdown_timeout in nginx.conf, which ends the old ones.

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
    deadline = time.monotonic() + drain_seconds
    while workers() & old and time.monotonic() < deadline:
        time.sleep(0.05)
