"""Answers by key: one request works on each, and the first answer stays."""

import pytest
from shop.records.answers import KEPT_MS, LEASE_MS, Answer, Busy, Mine, Other, RedisAnswers
from shop.records.seam import Seam
from unsticky import StoreUnavailable

from tests.shop.records.cutting import Cutting
from tests.shop.records.places import Place
from tests.support.servers import Server

DONE = Answer(201, "application/json", "/there", '{"süß": "\\u0000"}')


def _begin(place: Place, request: str = "r1", fingerprint: str = "f1", scope: str = "s1") -> object:
    return place.answers.begin(scope, "name", fingerprint, request)


def test_an_answer(place: Place) -> None:
    """The first request is to do the work; once it is done, everyone gets its answer."""
    assert _begin(place) == Mine()
    place.answers.keep("s1", "name", "f1", DONE)
    assert _begin(place) == _begin(place, "r2") == DONE
    assert _begin(place, "r2", "f2") == Other()
    assert _begin(place, scope="s2") == Mine()


def test_while_it_is_worked_on(place: Place) -> None:
    """Another request waits, one that asks for something else is wrong, the same one goes on."""
    _begin(place)
    busy = _begin(place, "r2")
    assert isinstance(busy, Busy)
    assert LEASE_MS - 2_000 < busy.left <= LEASE_MS + 1
    assert _begin(place, "r2", "f2") == Other()
    assert _begin(place) == Mine()


def test_a_lease_that_ended(place: Place) -> None:
    """Another request takes over from one that died; what that one was asked for still counts."""
    _begin(place)
    if place.raw is None:
        place.clock.now += LEASE_MS / 1000 + 0.1
    else:
        (key,) = place.raw.keys("shop:*:key:*")
        place.raw.hincrby(key, "until", -LEASE_MS)
    assert _begin(place, "r2", "f2") == Other()
    assert _begin(place, "r2") == Mine()
    assert isinstance(_begin(place, "r1"), Busy)


def test_the_first_answer_stays(place: Place) -> None:
    """Of two requests that both worked, the first one's answer is everyone's."""
    _begin(place)
    place.answers.keep("s1", "name", "f1", DONE)
    place.answers.keep("s1", "name", "f1", DONE._replace(body="other"))
    assert _begin(place) == DONE


def test_freeing(place: Place) -> None:
    """Who holds the work can give it back; nobody else, and not once it is answered."""
    _begin(place)
    place.answers.free("s1", "name", "r2")
    assert isinstance(_begin(place, "r2"), Busy)
    place.answers.free("s1", "name", "r1")
    assert _begin(place, "r2", "f2") == Mine()
    place.answers.keep("s1", "name", "f2", DONE)
    place.answers.free("s1", "name", "r2")
    assert _begin(place, "r3", "f2") == DONE


def test_an_answer_without_a_beginning(place: Place) -> None:
    """A record that expired while the work was done is made anew by the answer."""
    place.answers.keep("s1", "name", "f1", DONE)
    assert _begin(place) == DONE
    assert _begin(place, fingerprint="f2") == Other()


def test_how_long_answers_are_kept(place: Place) -> None:
    """Beginnings and answers end after 24 hours."""
    _begin(place)
    if place.raw is None:
        place.answers.keep("s1", "name", "f1", DONE)
        place.clock.now += KEPT_MS / 1000 - 1
        assert _begin(place) == DONE
        place.clock.now += 2
        assert _begin(place, fingerprint="f2") == Mine()
        return
    (key,) = place.raw.keys("shop:*:key:*")
    assert KEPT_MS - 5_000 < place.raw.pttl(key) <= KEPT_MS
    place.raw.pexpire(key, 1_000)
    place.answers.keep("s1", "name", "f1", DONE)
    assert KEPT_MS - 5_000 < place.raw.pttl(key) <= KEPT_MS


def test_a_lost_connection(server: Server) -> None:
    """Where nobody knows what came of a step the client may send its request again."""
    with Cutting(server.socket, cuts=4) as relay:
        seam = Seam(relay.url)
        answers = RedisAnswers(seam)
        with pytest.raises(StoreUnavailable):
            answers.begin("s1", "name", "f1", "r1")
        with pytest.raises(StoreUnavailable):
            answers.keep("s1", "name", "f1", DONE)
        seam.close()
