"""The races find what they are for."""

from loadtest.frameworks import peers
from loadtest.frameworks.benchmarks import race

_LOGOUTS = 2


def test_lost_updates_and_undone_logouts_are_counted() -> None:
    """Flask's cookie, which the last writer wins, loses most additions and undoes every logout."""
    (raced,) = race.rounds(peers.named(["flask-cookie"]), 1, _LOGOUTS)
    additions, revivals = raced.additions, raced.revivals
    assert (additions.acknowledged, additions.refused, additions.failed) == (401, 0, 0)
    assert additions.lost >= 150
    assert raced.document()["lost"] == additions.lost
    assert revivals.revived == revivals.replayed == _LOGOUTS
    assert revivals.statuses == {200: race.LATE_WRITERS * _LOGOUTS}


def test_the_library_loses_and_revives_nothing() -> None:
    """Every addition is there, each late writer is refused, and no logout is undone."""
    (raced,) = race.rounds(peers.named(["unsticky"]), 1, _LOGOUTS)
    assert (raced.additions.acknowledged, raced.additions.lost) == (401, 0)
    assert raced.revivals.revived == raced.revivals.replayed == 0
    assert raced.revivals.statuses == {409: race.LATE_WRITERS * _LOGOUTS}
