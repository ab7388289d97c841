"""The applications that serve the cart."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_at_a_time(database: str) -> Iterator[None]:
    """Let one worker process at a time make the tables of a SQLite database, given its path.

    Where two look whether a table exists and then make it, one of them fails, and Gunicorn ends.
    """
    with Path(f"{database}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
