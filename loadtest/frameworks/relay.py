"""A relay in front of a store that makes it farther away: each chunk waits before it is passed on.

`python -m loadtest.frameworks.relay STORE SOCKET MILLISECONDS` takes connections on one unix socket
and passes them to another one. A round trip takes so many milliseconds longer, half of them each
way. Chunks of all connections wait at the same time, so that nothing but time is limited.
"""

import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtest.frameworks import servers
from loadtest.frameworks.servers import Running

_CHUNK = 1 << 18


def main(arguments: list[str]) -> None:
    """Relay until the process is ended."""
    store, path, milliseconds = arguments
    # Sleeping is more exact in select() than in epoll, which counts whole milliseconds.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(128)
        _relay(listener, store, float(milliseconds) / 2000)


def _relay(listener: socket.socket, store: str, seconds: float) -> None:
    others: dict[socket.socket, socket.socket] = {}
    # Without those whose end is waiting: they would stay readable.
    reading: set[socket.socket] = set()
    # The delay is the same for all, so that the first in is the first out.
    waiting: deque[tuple[float, socket.socket, bytes]] = deque()
    while True:
        pause = max(0.0, waiting[0][0] - time.perf_counter()) if waiting else None
        readable, _, _ = select.select([listener, *reading], [], [], pause)
        now = time.perf_counter()
        for each in readable:
            if each is listener:
                near, far = listener.accept()[0], socket.socket(socket.AF_UNIX)
                far.connect(store)
                others |= {near: far, far: near}
                reading |= {near, far}
                continue
            waiting.append((now + seconds, each, data := _received(each)))
            if not data:
                reading.discard(each)
        while waiting and waiting[0][0] <= time.perf_counter():
            _, each, data = waiting.popleft()
            if each in others and not (data and _sent(others[each], data)):
                for end in (each, others[each]):
                    del others[end]
                    reading.discard(end)
                    end.close()


def _received(end: socket.socket) -> bytes:
    try:
        return end.recv(_CHUNK)
    except ConnectionError:
        return b""


def _sent(end: socket.socket, data: bytes) -> bool:
    try:
        end.sendall(data)
    except ConnectionError:
        return False
    return True


@contextmanager
def relay(store: Running, folder: Path, milliseconds: float) -> Iterator[Running]:
    """Run a relay in front of a store; a round trip takes so many milliseconds longer."""
    path = folder / f"relay-{milliseconds:g}.sock"
    command = [
        sys.executable,
        "-m",
        "loadtest.frameworks.relay",
        str(store.socket),
        str(path),
        str(milliseconds),
    ]
    with servers.listening(command, path, 0, {}, keepalive=False) as running:
        yield running


if __name__ == "__main__":
    main(sys.argv[1:])
