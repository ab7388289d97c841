"""The anomalies: each is forced, so that a library that can show it does, in every try.

Requests are held at gates, sessions expire, and the store stops. Only lost updates are a race.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Final

import redis

from loadtest.console import say
from loadtest.errors import LoadTestError
from loadtest.frameworks import contract, servers
from loadtest.frameworks.benchmarks.race import race_additions
from loadtest.frameworks.benchmarks.site import (
    LATE_WRITERS,
    PROCESSES,
    Site,
    answer_of,
    running,
    whose,
)
from loadtest.frameworks.benchmarks.testbed import short_folder
from loadtest.frameworks.client import Answer, Browser
from loadtest.frameworks.peers import Peer

SHORT_LIFETIME: Final = 2
"""Of an unused session where it has to expire, in seconds."""

# Signatures know whole seconds.
_PAST_LIFETIME = SHORT_LIFETIME + 2
_BACK_SECONDS = 30
_KEPT = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
_OK = 200
_WRITTEN_OR_REFUSED = {200, 400, 409}


@dataclass(frozen=True)
class Try:
    """One try to force an anomaly.

    Attributes:
        happened: whether it did; None if the try proves nothing, because the peer failed at
            something else.
        answers: what was answered on the way, statuses and users, in order; status 0 is no answer.
    """

    peer: str
    anomaly: str
    number: int
    happened: bool | None
    answers: Sequence[Any]


_Outcome = tuple[bool | None, list[Any]]


def revived(site: Site) -> _Outcome:
    """Log out while requests are in flight, and look whether the browser is logged in."""
    browser, _ = site.visitor()
    late = site.amid_writers(browser, lambda: browser.expect("POST", contract.LOGOUT))
    return proven(late, happened=_is_logged_in(browser)), late


def revoked(site: Site) -> _Outcome:
    """End a user's sessions from another browser, and look whether the old cookie logs in."""
    browser, user = site.visitor()
    before, other, answers = browser.cookies(), Browser(site.server), []

    def revoke() -> None:
        answers.append(other.ask("POST", contract.REVOKE, {"username": user}).status)

    late = site.amid_writers(browser, revoke)
    if answers[0] not in {204, contract.NOTHING_TO_REVOKE}:
        raise LoadTestError(f"POST {contract.REVOKE} was answered {answers[0]}")
    return proven(late, happened=_is_logged_in(Browser(site.server, before))), answers + late


def oauth(site: Site) -> _Outcome:
    """Begin an OAuth login while requests are in flight, and let the provider call back."""
    browser, _ = site.visitor()
    states: list[str] = []

    def start() -> None:
        states.append(browser.expect("GET", contract.OAUTH_START)["state"])

    late = site.amid_writers(browser, start)
    answer = answer_of(browser, "GET", contract.OAUTH_CALLBACK + states[0])
    return proven(late, happened=is_state_lost(answer)), [*late, answer.status]


def replayed(site: Site) -> _Outcome:
    """Log out with nothing in flight, and look whether a copy of the cookie logs in."""
    browser, _ = site.visitor()
    before = browser.cookies()
    browser.expect("POST", contract.LOGOUT)
    return _is_logged_in(Browser(site.server, before)), []


def proven(late: Sequence[int], *, happened: bool | None) -> bool | None:
    """Return None instead if a late writer neither wrote nor was refused: it has forced nothing."""
    return happened if _WRITTEN_OR_REFUSED.issuperset(late) else None


def is_state_lost(answer: Answer) -> bool | None:
    """Return what the answer to a provider's callback says of the state; None if nothing."""
    match answer:
        case Answer(200, _):
            return False
        case Answer(400, {"detail": contract.OTHER_STATE}):
            return True
    return None


_FORCED = {"revived": revived, "revoked": revoked, "oauth": oauth, "replayed": replayed}


def tries_of(peer: Peer, rounds: int, tries: int) -> tuple[list[dict[str, Any]], list[Try]]:
    """Let a peer race so many rounds, and force each anomaly so many times.

    Return the races, and the tries.

    Raises:
        LoadTestError: it cannot be started, or answers wrongly.
    """
    say(f"{peer.name}: races, requests in flight")
    with running(peer) as site:
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

    def at_rest(site: Site) -> _Outcome:
        browser, _ = site.visitor()
        time.sleep(_PAST_LIFETIME)
        return _is_logged_in(browser), []

    def in_flight(site: Site) -> _Outcome:
        browser, _ = site.visitor()
        late = site.amid_writers(browser, lambda: time.sleep(_PAST_LIFETIME), writers=1)
        return proven(late, happened=_is_logged_in(browser)), late

    made = []
    with running(peer, SHORT_LIFETIME) as site:
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
            during = list(threads.map(whose, browsers))
        with servers.store(folder, _KEPT):
            after = [_whose_at_last(browser) for browser in browsers]
    made = []
    for number, ((_, user), down, back) in enumerate(zip(visitors, during, after, strict=True), 1):
        made += [
            Try(peer.name, "anonymous", number, down == (_OK, None), down),
            Try(peer.name, "logged out", number, is_logged_out(back, user), back),
        ]
    return made


def is_logged_out(back: tuple[int, str | None], user: str) -> bool | None:
    """Return what an answer of a store that is back says; None if the peer did not recover."""
    status, now = back
    return now != user if status == _OK else None


def _whose_at_last(browser: Browser) -> tuple[int, str | None]:
    end = time.monotonic() + _BACK_SECONDS
    while (answer := whose(browser))[0] != _OK and time.monotonic() < end:
        time.sleep(0.1)
    return answer


def _is_logged_in(browser: Browser) -> bool | None:
    """Return whether it is; None if it cannot be seen."""
    status, user = whose(browser)
    return bool(user) if status == _OK else None
