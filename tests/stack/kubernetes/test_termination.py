"""The end of a pod: its endpoint goes and SIGTERM comes at once, and gateways see it later.

Real nginx and Gunicorn with the variables and times of the manifests. The kubelet and the gateway
are played: the gateway drops a pod some seconds after the pod began to end, and sends no request
twice. All cases run at the same time.
"""

import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.stack.kubernetes.kubelet import End, cluster, held_post, post, slow_read
from tests.stack.kubernetes.rendering import overlay

# Each second, from a clock: no request waits for the answer of another one.
_RATE = 15
# Shorter than the application holds a request (`application.py`), and than REQUEST_SECONDS.
_SLOW_SECONDS = 18.0


@dataclass(frozen=True)
class Case:
    """What the pods of one cluster go through.

    Attributes:
        end: how they end.
        delays: after so many seconds the gateway stops to use each of them.
    """

    end: End
    delays: tuple[float, ...]


@dataclass(frozen=True)
class Lost:
    """What had no good answer, and how many were sent.

    Attributes:
        posts: sent by the gateway, at its rate.
        slow: the last one for each pod, which takes long.
        reads: answers that the client reads late.
        sent: how many in all.
    """

    posts: Counter[str]
    slow: Counter[str]
    reads: Counter[str]
    sent: int


_END = End.of(overlay("base"))
_CASES = {
    "as in the manifests": Case(_END, (0, 5, 10)),
    "preStop too short": Case(_END.but(pre_stop=2), (10,)),
    "grace period too short": Case(_END.but(grace=_END.pre_stop + 8), (10,)),
    "Gunicorn's time too short": Case(_END.but(graceful=2), (10,)),
    "nginx not a sidecar": Case(_END.but(nginx_is_sidecar=False), (10,)),
    "nginx stopped at once": Case(_END.but(nginx_stop=signal.SIGTERM), (10,)),
}


@pytest.fixture(name="lost", scope="module")
def _lost() -> Iterator[dict[str, Lost]]:
    """Play all cases at once."""
    with (
        tempfile.TemporaryDirectory(prefix="pods-") as folder,
        ThreadPoolExecutor(len(_CASES)) as pool,
    ):

        def played(case: Case) -> Lost:
            return _play(Path(tempfile.mkdtemp(dir=folder)), case)

        yield dict(zip(_CASES, pool.map(played, _CASES.values()), strict=True))


def _play(folder: Path, case: Case) -> Lost:
    ending = len(case.delays)
    with (
        cluster(folder, overlay("base"), 1 + ending, case.end) as (pods, gateway),
        ThreadPoolExecutor(96) as pool,
    ):
        _, *leaving = pods
        began = time.monotonic()
        ends = [pool.submit(pod.end) for pod in leaving]
        posts: list[Future[str | None]] = []
        slow: list[Future[str | None]] = []
        reads: list[Future[str | None]] = []
        seen = sorted(zip(case.delays, leaving, strict=True), key=lambda each: each[0])
        used = list(pods)
        while seen or not all(end.done() for end in ends):
            posts.append(pool.submit(post, gateway.port))
            now = time.monotonic() - began
            while seen and seen[0][0] <= now:
                _, gone = seen.pop(0)
                # The gateway's last requests to it take long.
                reads.append(pool.submit(slow_read, gone))
                slow.append(pool.submit(held_post, gone, "last", _SLOW_SECONDS))
                used.remove(gone)
                gateway.use(used)
            time.sleep(max(began + len(posts) / _RATE - time.monotonic(), 0))
        for end in ends:
            end.result()
        sent = len(posts) + len(slow) + len(reads)
        return Lost(_reasons(posts), _reasons(slow), _reasons(reads), sent)


def _reasons(requests: list[Future[str | None]]) -> Counter[str]:
    return Counter(reason for each in requests if (reason := each.result()))


def test_nothing_is_lost_with_the_numbers_of_the_manifests(lost: dict[str, Lost]) -> None:
    """The gateway learns of a pod's end after 0, 5 and 10 s, and each request is answered."""
    found = lost["as in the manifests"]
    assert (found.posts, found.slow, found.reads) == ({}, {}, {})
    # As long as the endpoint's removal takes, and the last answer.
    assert found.sent > _RATE * (_END.pre_stop - 1)


def test_short_pre_stop_loses_requests(lost: dict[str, Lost]) -> None:
    """Gunicorn stops while the gateway still sends: what it then gets is lost."""
    assert lost["preStop too short"].posts


def test_short_grace_period_loses_what_takes_long(lost: dict[str, Lost]) -> None:
    """The pod is killed while a request runs that was sent in time; others are not concerned."""
    found = lost["grace period too short"]
    assert found.slow
    assert not found.posts


def test_short_time_of_gunicorn_loses_what_takes_long(lost: dict[str, Lost]) -> None:
    """Its master ends the worker; what nginx has got already is handed over."""
    found = lost["Gunicorn's time too short"]
    assert found.slow
    assert not found.posts + found.reads


def test_nginx_that_is_no_sidecar_loses_requests(lost: dict[str, Lost]) -> None:
    """It stops at the moment of the removal, while the gateway still sends."""
    assert lost["nginx not a sidecar"].posts


def test_nginx_that_stops_at_once_cuts_answers_off(lost: dict[str, Lost]) -> None:
    """This is why its stop signal must be SIGQUIT; what Gunicorn still holds is not concerned."""
    found = lost["nginx stopped at once"]
    assert found.reads
    assert not found.posts + found.slow
