"""The anomalies: each is forced, so that a library that can show it does, in every try.

Requests are held at gates, sessions expire, and the store stops. Only lost updates are a race.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import redis

from loadtest.console import say
from loadtest.errors import LoadTestError
from loadtest.frameworks import contract, servers
from loadtest.frameworks.apps import cart
from loadtest.frameworks.benchmarks.race import race_additions
from loadtest.frameworks.benchmarks.testbed import short_folder
from loadtest.frameworks.client import Browser
from loadtest.frameworks.peers import Peer

PROCESSES: Final = 4

LATE_WRITERS: Final = 3
"""One fewer than the processes: a sync worker must be free for what happens meanwhile."""

SHORT_LIFETIME: Final = 2
"""Of an unused session where it has to expire, in seconds."""

PATIENCE: Final = 10.0
"""How long a browser waits for an answer while the store is down, in seconds."""

# Signatures know whole seconds.
_PAST_LIFETIME = SHORT_LIFETIME + 2
_BACK_SECONDS = 30
_KEPT = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
_OK = 200


@dataclass(frozen=True)
class Try:
    """One try to force an anomaly.

    Attributes:
        happened: whether it did.
        answers: what was answered on the way, statuses and users, in order.
    """

    peer: str
    anomaly: str
    number: int
    happened: bool
    answers: Sequence[Any]


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
                threads.submit(browser.ask, "POST", contract.LATE + gate) for _ in range(writers)
            ]
            for _ in late:
                if self.gates.blpop([f"held:{gate}"], timeout=contract.GATE_SECONDS) is None:
                    raise LoadTestError(
                        f"no late writer came to its gate in {contract.GATE_SECONDS} s"
                    )
            act()
            self.gates.rpush(f"go:{gate}", *range(writers))
            return [writer.result().status for writer in late]


def revived(site: Site) -> tuple[bool, list[Any]]:
    """Log out while requests are in flight, and look whether the browser is logged in."""
    browser, _ = site.visitor()
    late = site.amid_writers(browser, lambda: browser.expect("POST", contract.LOGOUT))
    return _is_logged_in(browser), late


def revoked(site: Site) -> tuple[bool, list[Any]]:
    """End a user's sessions from another browser, and look whether the old cookie logs in."""
    browser, user = site.visitor()
    before, other, answers = browser.cookies(), Browser(site.server), []

    def revoke() -> None:
        answers.append(other.ask("POST", contract.REVOKE, {"username": user}).status)

    answers += site.amid_writers(browser, revoke)
    return _is_logged_in(Browser(site.server, before)), answers


def oauth(site: Site) -> tuple[bool, list[Any]]:
    """Begin an OAuth login while requests are in flight, and let the provider call back."""
    browser, _ = site.visitor()
    states: list[str] = []

    def start() -> None:
        states.append(browser.ask("GET", contract.OAUTH_START).body["state"])

    late = site.amid_writers(browser, start)
    status = browser.ask("GET", contract.OAUTH_CALLBACK + states[0]).status
    return status != _OK, [*late, status]


def replayed(site: Site) -> tuple[bool, list[Any]]:
    """Log out with nothing in flight, and look whether a copy of the cookie logs in."""
    browser, _ = site.visitor()
    before = browser.cookies()
    browser.expect("POST", contract.LOGOUT)
    return _is_logged_in(Browser(site.server, before)), []


_FORCED = {"revived": revived, "revoked": revoked, "oauth": oauth, "replayed": replayed}


def tries_of(peer: Peer, rounds: int, tries: int) -> tuple[list[dict[str, Any]], list[Try]]:
    """Let a peer race so many rounds, and force each anomaly so many times.

    Return the races, and the tries.

    Raises:
        LoadTestError: it cannot be started, or answers wrongly.
    """
    say(f"{peer.name}: races, requests in flight")
    with _running(peer) as site:
        races = [
            {"peer": peer.name, "round": number, **asdict(race_additions(site.server))}
            for number in range(1, rounds + 1)
        ]
        made = [
            Try(peer.name, name, number, *force(site))
            for name, force in _FORCED.items()
            for number in range(1, tries + 1)
        ]
    say(f"{peer.name}: expiry")
    made += expired(peer, tries)
    if peer.place == "redis":
        say(f"{peer.name}: the store stops")
        made += store_down(peer, tries)
    return races, made


def expired(peer: Peer, tries: int) -> list[Try]:
    """Let sessions expire, at rest and with a request in flight, and look who is logged in."""

    def at_rest(site: Site) -> tuple[bool, list[Any]]:
        browser, _ = site.visitor()
        time.sleep(_PAST_LIFETIME)
        return _is_logged_in(browser), []

    def in_flight(site: Site) -> tuple[bool, list[Any]]:
        browser, _ = site.visitor()
        late = site.amid_writers(browser, lambda: time.sleep(_PAST_LIFETIME), writers=1)
        return _is_logged_in(browser), late

    made = []
    with _running(peer, SHORT_LIFETIME) as site:
        # A request in flight holds a worker, and one must be free.
        for name, force, at_once in (
            ("expired", at_rest, tries),
            ("outlived", in_flight, LATE_WRITERS),
        ):
            with ThreadPoolExecutor(at_once) as threads:
                outcomes = threads.map(force, [site] * tries)
                made += [
                    Try(peer.name, name, number, *outcome)
                    for number, outcome in enumerate(outcomes, 1)
                ]
    return made


def store_down(peer: Peer, tries: int) -> list[Try]:
    """Stop the store, ask who is logged in, start it again with its data, and ask again."""
    with ExitStack() as stack:
        folder = stack.enter_context(short_folder())
        with servers.store(folder, _KEPT) as store:
            app = stack.enter_context(peer.serve(PROCESSES, store, folder))
            with redis.Redis.from_url(peer.database(store)) as gates:
                visitors = [Site(app.socket, gates).visitor() for _ in range(tries)]
        browsers = [browser for browser, _ in visitors]
        with ThreadPoolExecutor(tries) as threads:
            during = list(threads.map(_whose, browsers))
        with servers.store(folder, _KEPT):
            after = [_whose_at_last(browser) for browser in browsers]
    made = []
    for number, ((_, user), down, back) in enumerate(zip(visitors, during, after, strict=True), 1):
        made += [
            Try(peer.name, "anonymous", number, down == (_OK, None), down),
            Try(peer.name, "logged out", number, back != (_OK, user), back),
        ]
    return made


def _whose(browser: Browser) -> tuple[int, str | None]:
    """Return how the browser is answered, and as which user; status 0 is no answer."""
    try:
        status, body = browser.ask("GET", contract.SESSION)
    except TimeoutError:
        return 0, None
    return status, body["user"] if status == _OK else None


def _whose_at_last(browser: Browser) -> tuple[int, str | None]:
    end = time.monotonic() + _BACK_SECONDS
    while (answer := _whose(browser))[0] != _OK and time.monotonic() < end:
        time.sleep(0.1)
    return answer


def _is_logged_in(browser: Browser) -> bool:
    return bool(browser.ask("GET", contract.SESSION).body["user"])


@contextmanager
def _running(peer: Peer, lifetime: int = cart.LIFETIME) -> Iterator[Site]:
    with (
        short_folder() as folder,
        servers.store(folder) as store,
        peer.serve(PROCESSES, store, folder, lifetime=lifetime) as app,
        redis.Redis.from_url(peer.database(store)) as gates,
    ):
        yield Site(app.socket, gates)
