"""What gevent must not change or slow: in a process of its own, which it patches."""

import os
import subprocess
import sys
from pathlib import Path

from tests.contract.places import AtServer

_PROGRAM = """
from gevent import monkey
monkey.patch_all()

import sys

import gevent
from unsticky.cookie import Reference
from unsticky.stores import connections
from unsticky.stores.contract import Budget, Missing
from unsticky.stores.scripts import load

url = sys.argv[1]
caller, other = connections.pooled(url), connections.pooled(url)
probe = load("read")


def read(through):
    return through.call(probe, (b"gevent-test",), (b"1000", b"50"), Budget(5.0))


assert read(caller) == read(other) == [1]

# Whether an idle connection is good is known at once: nobody else runs meanwhile.
ran = []
gevent.spawn(ran.append, True)
line = caller._idle[-1]
assert line.is_quiet()
assert not ran
gevent.sleep(0)
assert ran

# One that the server closed is noticed before anything is sent on it.
import redis

with redis.Redis.from_url(url) as killer:
    killer.client_kill_filter(_type="normal", skipme=True)
assert not line.is_quiet()
before = caller.trips
assert read(caller) == [1]
assert caller.trips == before + 1
print("held")
"""


def test_an_idle_connection_is_looked_at_without_gevents_loop(own_server: AtServer) -> None:
    """Under gevent too, a closed connection is noticed before the call, and no greenlet runs."""
    app = Path(__file__).parents[2] / "app"
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, own_server.server.url],
        env={**os.environ, "PYTHONPATH": str(app)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("held\n", "")
