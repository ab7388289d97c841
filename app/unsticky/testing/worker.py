"""`python -m unsticky.testing.worker`: another process that uses the same store.

It adds to one counter from several threads, and prints two lines for each addition: `?` before, and
after it `1` if the store says that it was made, otherwise the name of the outcome or the exception.
Both end with the name of the operation. With `fork`, it uses the
store first and then lets children do that, as a server that loads the application before it forks.
"""

from __future__ import annotations

import inspect
import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

from ..cookie import Reference
from ..errors import SessionError
from ..stores.base import Add, Caps, Deadline, Store, Written
from .places import CAPS, LIFETIMES, operation
from .plugin import found

COUNTER: Final = b"n"
DEADLINE: Final = 10.0
"""Seconds that an addition may take on a busy machine; in an application it is one."""
_CHILDREN: Final = 4


def main(named: str, folder: str, handle: str, adds: int, threads: int, how: str) -> None:
    """Open the store of a folder, and add."""
    where = Reference.from_handle(handle)
    assert where is not None
    store = opened(named, Path(folder), CAPS)
    if how == "fork":
        store.read(where, LIFETIMES, Deadline(DEADLINE))
        children = [os.fork() for _ in range(_CHILDREN) if _is_parent()]
        if _is_parent():
            for child in children:
                os.waitpid(child, 0)
            store.read(where, LIFETIMES, Deadline(DEADLINE))
            return
    adding = [threading.Thread(target=add, args=(store, where, adds)) for _ in range(threads)]
    for thread in adding:
        thread.start()
    for thread in adding:
        thread.join()
    store.close()


_PARENT: Final = os.getpid()


def _is_parent() -> bool:
    return os.getpid() == _PARENT


def opened(named: str, folder: Path, caps: Caps) -> Store:
    """Return the store of a folder, whose clock is the machine's."""
    factory = found(named)
    if "clock" in inspect.signature(factory).parameters:
        return factory(folder, caps, clock=time.time)
    return factory(folder, caps)


def add(store: Store, where: Reference, times: int) -> None:
    """Add one, so many times, and say what came of each."""
    for _ in range(times):
        name = operation()
        os.write(1, f"? {name.request.hex()}\n".encode())
        try:
            outcome = store.write(where, (Add(COUNTER, 1),), name, LIFETIMES, Deadline(DEADLINE))
            line = "1" if isinstance(outcome, Written) else type(outcome).__name__
        except SessionError as error:
            line = type(error).__name__
        os.write(1, f"{line} {name.request.hex()}\n".encode())


if __name__ == "__main__":
    _, _named, _folder, _handle, _adds, _threads, _how = sys.argv
    main(_named, _folder, _handle, int(_adds), int(_threads), _how)
