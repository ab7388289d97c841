"""A peer that runs, its visitors, and requests of theirs that are held at gates."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final
from uuid import uuid4

import redis

from loadtest.errors import LoadTestError
from loadtest.frameworks import contract, servers
from loadtest.frameworks.apps import cart
from loadtest.frameworks.benchmarks.testbed import short_folder
from loadtest.frameworks.client import Answer, Browser
from loadtest.frameworks.peers import Peer

PROCESSES: Final = 4

LATE_WRITERS: Final = 3
"""One fewer than the processes: a sync worker must be free for what happens meanwhile."""

PATIENCE: Final = 10.0
"""How long a browser waits for an answer, in seconds."""


@dataclass(frozen=True)
class Site:
    """A peer that runs, and the store with its gates."""

    server: Path
    gates: redis.Redis

    def visitor(self) -> tuple[Browser, str]:
        """Return a browser of a new user, who is logged in and has something in the cart."""
        user = f"user-{uuid4().hex}"
        browser = Browser(self.server, timeout=PATIENCE)
        browser.expect("POST", contract.ITEMS, {"sku": contract.RACED[0]})
        browser.expect("POST", contract.LOGIN, {**contract.CREDENTIALS, "username": user})
        return browser, user

    def amid_writers(
        self, browser: Browser, act: Callable[[], object], writers: int = LATE_WRITERS
    ) -> list[int]:
        """Act while late writers of the browser have read and not yet written.

        Return how they were answered.
        """
        gate = uuid4().hex
        with ThreadPoolExecutor(writers) as threads:
            late = [
                threads.submit(answer_of, browser, "POST", contract.LATE + gate)
                for _ in range(writers)
            ]
            for _ in late:
                if self.gates.blpop([f"held:{gate}"], timeout=contract.GATE_SECONDS) is None:
                    raise LoadTestError(
                        f"no late writer came to its gate in {contract.GATE_SECONDS} s"
                    )
            act()
            self.gates.rpush(f"go:{gate}", *range(writers))
            return [writer.result().status for writer in late]


@contextmanager
def running(peer: Peer, lifetime: int = cart.LIFETIME) -> Iterator[Site]:
    """Run a peer and its store; an unused session lives so many seconds."""
    with (
        short_folder() as folder,
        servers.store(folder) as store,
        peer.serve(PROCESSES, store, folder, lifetime=lifetime) as app,
        redis.Redis.from_url(peer.database(store)) as gates,
    ):
        yield Site(app.socket, gates)


def answer_of(browser: Browser, method: str, path: str) -> Answer:
    """Send a request without a body; no answer has the status 0."""
    try:
        return browser.ask(method, path)
    except OSError:
        return Answer(0, None)


def whose(browser: Browser) -> tuple[int, str | None]:
    """Return how the browser is answered, and as which user."""
    status, body = answer_of(browser, "GET", contract.SESSION)
    return status, body["user"] if status == HTTPStatus.OK else None
