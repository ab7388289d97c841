"""When the requests of a visit are due, and by how much they are late."""

import time

import gevent
import pytest
from gevent.event import Event

from loadtest.users.pace import OpenPace, Over, Pace


def _open(late: float = 0.0) -> OpenPace:
    return OpenPace(time.perf_counter() - late, Event())


def test_in_a_closed_loop_nothing_is_late() -> None:
    """A user pauses after an answer, however long that took."""
    pace = Pace()
    pace.begin()
    pace.pause(0)
    assert pace.begin() == 0


def test_a_visit_that_began_late_counts_from_when_it_was_due() -> None:
    """Its first request waited for the load generator."""
    assert _open(late=9).begin() >= 9


def test_a_pause_begins_when_the_last_request_was_due() -> None:
    """After a late answer the next requests are sent at once, and each has waited."""
    pace = _open(late=9)
    pace.begin()
    pace.pause(2)
    assert 7 <= pace.begin() < 9
    pace.pause(1)
    pace.pause(1)
    assert 5 <= pace.begin() < 7


def test_a_request_without_a_pause_follows_from_the_answer_before() -> None:
    """It is due when that has come, and so is the pause after it."""
    pace = _open(late=9)
    pace.begin()
    assert pace.begin() == 0
    pace.pause(0.01)
    assert pace.begin() < 9


def test_each_tab_has_its_own_pause() -> None:
    """Tabs pause at the same time, and what they asked is the last request of their visit."""
    pace = _open(late=9)
    pace.begin()

    def tab() -> float:
        pace.pause(2)
        return pace.begin()

    tabs = [gevent.spawn(tab) for _ in range(2)]
    first, second = (each.get() for each in tabs)
    assert 7 <= first < 9
    assert second >= 5
    pace.pause(2)
    assert pace.begin() < first


def test_at_the_end_of_the_run_no_request_begins() -> None:
    """Also one whose user pauses."""
    over = Event()
    pace = OpenPace(time.perf_counter(), over)
    pausing = gevent.spawn(pace.pause, 3600)
    gevent.sleep(0)
    over.set()
    with pytest.raises(Over):
        pausing.get(timeout=60)
    with pytest.raises(Over):
        pace.begin()
