"""Builds that are broken on purpose: the load test finds each, and names it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartStack, copy_checkout
from tests.integration.stack import Stack
from tests.loadtest.target import run


@pytest.fixture(name="breakable", scope="module")
def _breakable(tmp_path_factory: pytest.TempPathFactory, new_stack: StartStack) -> Iterator[Stack]:
    """A stack of a checkout that also has the broken builds."""
    checkout = tmp_path_factory.mktemp("broken")
    copy_checkout(checkout)
    shutil.copy(Path(__file__).with_name("broken.py"), checkout / "app" / "broken.py")
    stack = new_stack(REPLICAS="2", WORKERS="2")
    stack.checkout = checkout
    yield stack
    error = stack.dispose()
    assert not error, error


def test_a_store_where_the_last_writer_wins(breakable: Stack) -> None:
    """Two tabs overwrite each other's quantities: lost updates, and nothing else."""
    breakable.up(APP="broken:last_writer_wins()")
    ran = run(breakable, JOURNEYS="Shopper=0 Bot=0 AnonymousBrowser=0")
    assert ran.exit_code == 1
    assert re.match(r"VERDICT fail: lost update \d+ times \(0 allowed\)$", ran.verdict), ran.printed
    found = ran.document["found"][0]
    assert re.search(r"\w+ is \d+ instead of \d+", found["detail"])
    log = breakable.folder.log / "nginx.access.log"
    assert found["request_id"] in log.read_text()


def test_one_worker_with_a_secret_of_its_own(breakable: Stack) -> None:
    """Sessions are lost between that worker and all others, and it is named."""
    breakable.up(APP="broken:own_secret()")
    ran = run(breakable)
    assert ran.exit_code == 1
    assert ran.document["findings"]["lost session"] > 0
    assert ran.document["findings"]["lost update"] == 0, ran.printed
    named = re.match(r"VERDICT fail: lost session \d+ times, all with (app-2/\d+) \(0", ran.verdict)
    assert named, ran.printed
    assert int(named[1].partition("/")[2]) in breakable.workers("app-2")


def test_a_replica_that_drops_cookies(breakable: Stack) -> None:
    """Sessions that it begins are lost, and the replica is named."""
    breakable.up(APP="broken:dropped_cookies()")
    ran = run(breakable)
    assert ran.exit_code == 1
    assert re.match(r"VERDICT fail: lost session \d+ times, all with app-2 \(0", ran.verdict), (
        ran.printed
    )
