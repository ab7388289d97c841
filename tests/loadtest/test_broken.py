"""Builds that are broken on purpose: the load test finds each, and names it."""

import re

from tests.support.loadtests import run
from tests.support.stack import Stack


def test_a_store_where_the_last_writer_wins(copied: Stack) -> None:
    """Two tabs overwrite each other's quantities: lost updates, and nothing else."""
    copied.up(APP="broken:last_writer_wins()")
    ran = run(copied, JOURNEYS="Shopper=0 Bot=0 AnonymousBrowser=0 Member=0 Buyer=0")
    assert ran.exit_code == 1
    assert re.match(r"VERDICT fail: lost update \d+ times \(0 allowed\)", ran.verdict), ran.printed
    found = ran.document["found"][0]
    assert re.search(r"\w+ is \d+ instead of \d+", found["detail"])
    log = copied.folder.log / "nginx.access.log"
    assert found["request_id"] in log.read_text()


def test_one_worker_with_a_secret_of_its_own(copied: Stack) -> None:
    """Sessions are lost between that worker and all others, and it is named."""
    copied.up(APP="broken:own_secret()")
    ran = run(copied)
    assert ran.exit_code == 1
    counted = {kind: count for kind, count in ran.document["findings"].items() if count}
    assert counted.keys() == {"lost session"}, ran.printed
    named = re.match(r"VERDICT fail: lost session \d+ times, all with (app-2/\d+) \(0", ran.verdict)
    assert named, ran.printed
    assert int(named[1].partition("/")[2]) in copied.workers("app-2")


def test_a_replica_that_drops_cookies(copied: Stack) -> None:
    """Sessions that it begins are lost, and the replica is named."""
    copied.up(APP="broken:dropped_cookies()")
    ran = run(copied)
    assert ran.exit_code == 1
    assert re.match(r"VERDICT fail: lost session \d+ times, all with app-2 \(0", ran.verdict), (
        ran.printed
    )
