"""Names that one visit holds at a time, over all processes of the load generator."""

import fcntl
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loadtest.settings import Plan


@contextmanager
def leased(plan: Plan, names: Sequence[str]) -> Iterator[str | None]:
    """Hold one of the names until the block ends; `None` if other visits hold all of them."""
    folder = Path(plan.folder or tempfile.gettempdir())
    for name in random.sample(list(names), len(names)):
        with (folder / f"lease-{name}").open("w", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield name
            return
    yield None
