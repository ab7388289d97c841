"""The sessions of a user: the index, its limit, its stamps, its end."""

from unsticky.stores.base import Move
from unsticky.testing.contract import user_index, user_sessions
from unsticky.testing.contract.user_index import ENDLESS, SHORT
from unsticky.testing.contract.user_sessions import listed, login

from tests.support.stores.places import HOUR, AtServer, reference
from tests.support.stores.proof import collected_from

globals().update(collected_from(user_index, user_sessions))


def test_the_servers_index_is_pruned_and_expires(server_place: AtServer) -> None:
    """The index's key holds living sessions only, and has an expiry, after a rotation too."""
    store, user, raw = server_place.new_store(), reference(), server_place.server.raw
    ghost = login(server_place, store, user)
    server_place.expire(ghost)
    where, successor = login(server_place, store, user), reference()
    key = server_place.key(user, "u")
    assert raw.hlen(key) == 1
    store.write(where, (), finish=Move(successor))
    assert raw.hlen(key) == 1
    assert 0 < raw.pttl(key) <= 24 * HOUR


def test_the_servers_index_is_never_shortened(server_place: AtServer) -> None:
    """Its expiry is the latest that any call needed; without an absolute limit it has none."""
    store, user, raw = server_place.new_store(), reference(), server_place.server.raw
    key = server_place.key(user, "u")
    lowered, endless = store.under(SHORT), store.under(ENDLESS)
    login(server_place, lowered, user)
    assert 0 < raw.pttl(key) <= 500
    login(server_place, store, user)
    for again in (lowered, store):
        again.end_all(user, None, 5)
        login(server_place, again, user, stamp=5)
        assert 23 * HOUR < raw.pttl(key) <= 24 * HOUR
    login(server_place, endless, user, stamp=5)
    for again in (endless, lowered, store):
        login(server_place, again, user, stamp=5)
        again.end_all(user, None, 5)
        assert raw.pttl(key) == -1


def test_an_index_that_an_earlier_release_cut_short_is_repaired(server_place: AtServer) -> None:
    """A bind looks at what is listed, and lets the index live as long as the last of it."""
    store, user, raw = server_place.new_store(), reference(), server_place.server.raw
    old = login(server_place, store, user)
    raw.pexpire(server_place.key(user, "u"), 5000)
    login(server_place, store.under(SHORT), user)
    assert raw.pttl(server_place.key(user, "u")) > 23 * HOUR
    assert old in listed(store, user)


def test_an_index_of_ghosts_alone_still_expires(server_place: AtServer) -> None:
    """Emptied while a session is bound, and entered at once, it has an expiry like before."""
    store, user, raw = server_place.new_store(), reference(), server_place.server.raw
    server_place.expire(login(server_place, store, user))
    login(server_place, store.under(SHORT), user)
    assert raw.pttl(server_place.key(user, "u")) > 0
