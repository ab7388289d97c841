"""When the requests of a visit are due, and by how much they are late."""

import time

import gevent
import pytest
from gevent.event import Event

from loadtest.users.pace import OpenPace, Over, Pace, Usual


def _open(late: float = 0.0, usual: Usual | None = None) -> OpenPace:
    return OpenPace(time.perf_counter() - late, Event(), usual or Usual())


def test_in_a_closed_loop_nothing_is_late() -> None:
    """A user pauses after an answer, however long that took."""
    pace = Pace()
    pace.begin("GET /")
    pace.pause(0)
    assert pace.begin("GET /") == 0


def test_a_visit_that_began_late_counts_from_when_it_was_due() -> None:
    """Its first request waited for the load generator."""
    assert _open(late=9).begin("GET /") >= 9


def test_a_pause_begins_when_the_last_request_was_due() -> None:
    """After a late answer the next requests are sent at once, and each has waited."""
    pace = _open(late=9)
    pace.begin("GET /")
    pace.pause(2)
    assert 7 <= pace.begin("GET /") < 9
    pace.pause(1)
    pace.pause(1)
    assert 5 <= pace.begin("GET /") < 7


def test_the_next_request_is_not_due_before_an_answer_is_usual() -> None:
    """If answers take longer than the pause, each request would be later than the one before."""
    usual = Usual()
    for seconds in (3, 3, 3, 90):
        usual.add("GET /", seconds)
    pace = _open(late=99, usual=usual)
    pace.begin("GET /")
    pace.pause(1)
    assert 93 <= pace.begin("GET /other") < 98
    # Of this one nothing is known.
    pace.pause(1)
    assert 92 <= pace.begin("GET /") < 97
    pace.pause(9)
    assert 83 <= pace.begin("GET /") < 86


def test_no_request_is_later_than_the_longest_wait_of_its_visit() -> None:
    """Many answers may be slow, and more of them quick: then a median says little."""
    usual = Usual()
    for _ in range(9):
        usual.add("GET /", 0.001)
    pace = _open(usual=usual)
    longest = pace.begin("GET /")
    for _ in range(3):
        gevent.sleep(0.05)
        pace.answered("GET /", 0.02)
        pace.pause(0.001)
        assert pace.begin("GET /") == max(longest, 0.02)


def test_what_is_usual_is_a_median() -> None:
    """The lower one of two, within 5 %; a stall does not change it, nor does another kind."""
    usual = Usual()
    assert usual["GET /"] == 0
    usual.add("GET /", 2.0)
    usual.add("GET /", 0.1)
    usual.add("GET /other", 0.0)
    assert usual["GET /"] == pytest.approx(0.1, rel=0.05)
    for _ in range(20):
        usual.add("GET /", 0.01)
    assert usual["GET /"] == pytest.approx(0.01, rel=0.05)
    assert usual["GET /other"] == pytest.approx(0.0, abs=0.001)


def test_a_request_without_a_pause_follows_from_the_answer_before() -> None:
    """It is due when that has come, and so is the pause after it."""
    pace = _open(late=9)
    pace.begin("GET /")
    assert pace.begin("GET /") == 0
    pace.pause(0.01)
    assert pace.begin("GET /") < 9


def test_each_tab_has_its_own_pause() -> None:
    """Tabs pause at the same time, and what they asked is the last request of their visit."""
    pace = _open(late=9)
    pace.begin("GET /")

    def tab() -> float:
        pace.pause(2)
        return pace.begin("GET /")

    tabs = [gevent.spawn(tab) for _ in range(2)]
    first, second = (each.get() for each in tabs)
    assert 7 <= first < 9
    assert second >= 5
    pace.pause(2)
    assert pace.begin("GET /") < first


def test_at_the_end_of_the_run_no_request_begins() -> None:
    """Also one whose user pauses."""
    over = Event()
    pace = OpenPace(time.perf_counter(), over, Usual())
    pausing = gevent.spawn(pace.pause, 3600)
    gevent.sleep(0)
    over.set()
    with pytest.raises(Over):
        pausing.get(timeout=60)
    with pytest.raises(Over):
        pace.begin("GET /")
