"""A store with an append-only file, that is killed, paused and cut off from its power."""

import os
import signal
import subprocess
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import redis
from unsticky.codec import decode
from unsticky.cookie import Reference
from unsticky.fields import MAP, PLAIN, entry_key, map_prefix, name_of

# Longer than a server takes to start here (seconds).
_PATIENCE = 20.0

Fsync = Literal["everysec", "always"]


class DurableStore:
    """One server on a unix socket in a folder of its own; starting it again reads its file."""

    def __init__(self, program: str, folder: Path, fsync: Fsync) -> None:
        self.url = f"unix://{folder / 's'}?db=0"
        self._folder = folder
        self._command = [
            *(program, "--port", "0", "--unixsocket", str(folder / "s"), "--dir", str(folder)),
            *("--save", "", "--appendonly", "yes", "--appendfsync", fsync),
            # One file from beginning to end, so that it can be cut.
            *("--auto-aof-rewrite-percentage", "0"),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.client: Any = redis.Redis.from_url(self.url)

    def start(self) -> None:
        """Start the server and wait until it has read its file."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                self.client.ping()
            except (redis.RedisError, OSError):
                assert self._process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < end, "the store does not answer"
                time.sleep(0.01)
            else:
                return

    def kill(self) -> None:
        """Kill the server as `kill -9` does; what it wrote stays in the kernel's hands."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def pause(self) -> None:
        """Stop the server in the midst of whatever it does: it answers nobody."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server go on, beginning with what was sent to it meanwhile."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def file_size(self) -> int:
        """Return the bytes in the append-only file."""
        return self._file().stat().st_size

    def cut_file(self, size: int) -> None:
        """Make the file of a dead server what the disk had when it was `size` bytes long."""
        os.truncate(self._file(), size)

    def sessions(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield handle and content of every living session: plain keys, and maps as dicts."""
        for key in self.client.scan_iter("unsticky:*:s:*"):
            fields = self.client.hgetall(key)
            if b"\0m" in fields:
                yield _handle(key), _content(fields)

    def _file(self) -> Path:
        (found,) = self._folder.glob("appendonlydir/*.incr.aof")
        return found


def _handle(key: bytes) -> str:
    bucket, _, rest = key.partition(b"{")[2].partition(b"}")
    reference = Reference(int(bucket), urlsafe_b64decode(rest.rpartition(b":")[2] + b"=="))
    return reference.handle


def _content(fields: dict[bytes, bytes]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for field, data in fields.items():
        if field.startswith(PLAIN):
            content[name_of(field)] = decode(data)
        elif field.startswith(MAP):
            name = name_of(field)
            content.setdefault(name, {})[entry_key(map_prefix(name), field)] = decode(data)
    return content
