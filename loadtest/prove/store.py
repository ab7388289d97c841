"""The rows about the store: it restarts, or its primary hangs.

Visitors come for some time before and after, so that what they had before can be lost.
"""

import os
import re
import signal
import time
from functools import partial

from loadtest.harness.kit import Kit
from loadtest.prove import visitors
from loadtest.prove.row import Measured, Options, Skipped, measured, need_shop
from loadtest.prove.stock import Stock


def store(kit: Kit, stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """The store restarts under load: requests fail, and what was acknowledged is there."""
    need_shop(kit)
    service = "valkey" if kit.runtime == "local" else "redis"
    done = "a restart of the store"
    if primary := _primary(kit):
        service, done = primary[0], "a restart of the primary, which hands over first"
    with visitors.visitors(kit.port, visitors.cart) as ours:
        time.sleep(options.seconds / 4)
        kit.succeed("restart", SERVICE=service)
        time.sleep(options.seconds / 4)
    with visitors.visitors(stock.port, partial(visitors.cart, keyed=False)) as theirs:
        time.sleep(options.seconds / 4)
        stock.restart_store()
        time.sleep(options.seconds / 4)
    return (
        measured(done, ours, allows_failures=True),
        measured("a restart of the store", theirs, allows_failures=True),
    )


def failover(kit: Kit, _stock: Stock, options: Options) -> tuple[Measured, Measured | None]:
    """The store's primary hangs under load: another server takes over."""
    need_shop(kit)
    if not (primary := _primary(kit)):
        raise Skipped("the store is one server; STORE=sentinel starts three")
    name, pid = primary
    with visitors.visitors(kit.port, visitors.cart) as ours:
        time.sleep(options.seconds / 4)
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(options.seconds / 2)
        finally:
            os.kill(pid, signal.SIGCONT)
        time.sleep(options.seconds / 4)
    now = _primary(kit)
    wrong = "" if now and now[0] != name else f"the primary is {now[0] if now else 'none'} again"
    waits = os.environ.get("UNSTICKY_WAIT") or "0"
    done = f"{name} hung for {options.seconds / 2:g} s; UNSTICKY_WAIT={waits}"
    return measured(done, ours, allows_failures=True, wrong=wrong), None


def _primary(kit: Kit) -> tuple[str, int] | None:
    """Return the name of the store's primary, and its pid; None if the store is one server."""
    row = re.search(r"^(\S+) +(\d+) +running, primary", kit.succeed("status"), re.MULTILINE)
    return (row[1], int(row[2])) if row else None
