"""The sessions that all workers share: one cookie in each slot, in a file."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Held:
    """The cookie in a slot, and the handle of its session; both are empty at first."""

    cookie: str = ""
    handle: str = ""


class Slots:
    """A folder with one file for each slot. To put another session into a slot, lock it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, slot: int) -> Held:
        """Return what is in the slot."""
        try:
            return Held(**json.loads(self._path(slot).read_bytes()))
        except FileNotFoundError:
            return Held()

    def write(self, slot: int, held: Held) -> None:
        """Put another session into the slot, which must be locked."""
        draft = self._path(slot).with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(asdict(held)), encoding="ascii")
        draft.replace(self._path(slot))

    @contextmanager
    def locked(self, slot: int) -> Iterator[None]:
        """Hold the slot's lock; the kernel releases it if the process is killed."""
        with (self._folder / f"{slot}.lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _path(self, slot: int) -> Path:
        return self._folder / f"{slot}.json"
