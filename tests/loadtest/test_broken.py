"""Builds that are broken on purpose: the load test finds and names each."""

import re

from tests.support.stacks.loadtests import run
from tests.support.stacks.local import Stack


def test_a_last_writer_who_wins_is_found(copied: Stack) -> None:
    """Two tabs overwrite each other's quantities: lost updates, and nothing else."""
    copied.up(APP="broken:last_writer_wins()")
    ran = run(copied, JOURNEYS="Shopper=0 Bot=0 AnonymousBrowser=0 Member=0 Buyer=0")
    assert ran.exit_code == 1, ran.printed
    assert re.match(r"VERDICT fail: lost update \d+ times \(0 allowed\)", ran.verdict), ran.printed
    found = ran.document["found"][0]
    assert re.search(r"\w+ is \d+ instead of \d+", found["detail"])
    log = copied.folder.log / "nginx.access.log"
    assert found["request_id"] in log.read_text()


def test_one_worker_with_another_secret_is_found(copied: Stack) -> None:
    """Sessions are lost between that worker and all others, and the verdict names it."""
    copied.up(APP="broken:own_secret()")
    ran = run(copied)
    assert ran.exit_code == 1, ran.printed
    counted = {kind: count for kind, count in ran.document["findings"].items() if count}
    assert counted.keys() == {"lost session"}, ran.printed
    told = r"VERDICT fail: lost session \d+ times, all with (app-\d/\d+) \(0 allowed"
    named = re.match(told, ran.verdict)
    assert named, ran.printed
    replica, _, pid = named[1].partition("/")
    assert int(pid) in copied.workers(replica)


def test_a_replica_that_drops_cookies_is_found(copied: Stack) -> None:
    """Sessions that it begins are lost, and the verdict names the replica."""
    copied.up(APP="broken:dropped_cookies()")
    ran = run(copied)
    assert ran.exit_code == 1, ran.printed
    assert re.match(r"VERDICT fail: lost session \d+ times, all with app-\d \(0", ran.verdict), (
        ran.printed
    )
