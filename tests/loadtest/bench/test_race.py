"""The races find what they are for."""

from pathlib import Path

import redis

from loadtest.frameworks import servers
from loadtest.frameworks.benchmarks import race
from loadtest.frameworks.servers import Running, Workers

_LOGOUTS = 2


def test_a_last_writer_who_wins_is_caught(store: Running, folder: Path) -> None:
    """If additions meet in pairs, half are reported as lost; every logout as undone."""
    # Gunicorn finds modules in the folder that it is started in.
    planted = Path(__file__).with_name("planted.py")
    (folder / "planted.py").write_text(planted.read_text())
    application = {"APP": "planted:create_app()", "REDIS_URL": store.url}
    workers = Workers("gthread", 1, threads=race.IN_FLIGHT)
    with servers.gunicorn("planted", application, workers, folder) as app:
        additions = race.race_additions(app.socket)
        with redis.Redis.from_url(store.url) as client:
            revivals = race.race_logouts(app.socket, client, _LOGOUTS)
    assert (additions.acknowledged, additions.refused, additions.failed) == (401, 0, 0)
    assert additions.lost >= 150
    assert revivals.revived == revivals.replayed == _LOGOUTS
    assert revivals.statuses == {200: race.LATE_WRITERS * _LOGOUTS}
