"""Logins, logouts and revocations at once, in every order of their steps; and every end of one.

CLUSTER=all takes all pairs, TURNS=3 more orders of each: see `stepping.orders`.
"""

import os
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations_with_replacement, product
from typing import Any

import pytest
from unsticky.cookie import Reference
from unsticky.stores.base import Bind, Destroy, Move, Operation, Record, Written
from unsticky.stores.redis import name_of

from tests.library.cluster.stepping import Killed, Pausing, Taken, orders
from tests.support.stores.cluster import AtCluster
from tests.support.stores.places import LimitedStore, Memory, Place, reference


@dataclass
class World:
    """A visitor, S, and two sessions of a user, A and B.

    The visitor is a guest, or logged in as the same user or as another one.
    """

    store: LimitedStore
    names: dict[str, Reference]
    user: Reference = field(default_factory=lambda: Reference(9, b"u" * 16))
    other: Reference = field(default_factory=lambda: Reference(10, b"v" * 16))

    def set_up(self, visitor: str, place: Place) -> None:
        """Make the sessions; `visitor` says who S is."""
        store, names = self.store, self.names
        for number, name in enumerate("AB"):
            bind = Bind(self.user, 1, b"", 9)
            store.apply(names[name], (), create=True, finish=bind)
            assert len(store.sessions(self.user)) == number + 1
            place.let_pass(2)
        owner = {"guest": None, "same": self.user, "other": self.other}[visitor]
        finish = None if owner is None else Bind(owner, 1, b"", 9)
        store.apply(names["S"], (), create=True, finish=finish)

    def act(self, act: str, number: int) -> object:
        """Do one of the acts; a new reference has the number of who does it."""
        verb, *rest = act.split()
        if act in ENDS:
            self._do_to_all(verb, *rest)
            return "done"
        names, new = self.names, self.names[f"N{number}"]
        if rest == ["A"]:  # a session stays in its bucket
            new = names[f"N{number}"] = new._replace(bucket=names["A"].bucket)
        where = new if verb == "login" else names.get(rest[0], names["S"])
        bind = Bind(self.user, 1, b"", int(rest[0])) if verb in {"bind", "login"} else None
        finish = {
            "login": bind,
            "destroy": Destroy(),
        }.get(verb, Move(new, bind, unbind=verb == "unbind"))
        # The same name each time, as in a resend.
        name = Operation(b"the request", number)
        outcome = self.store.write(where, (), name, create=verb == "login", finish=finish)
        return "written" if isinstance(outcome, Written) else "refused"

    def _do_to_all(self, verb: str, stamp: str = "") -> None:
        if verb == "list":
            self.store.sessions(self.user)
            return
        keep = self.names["S"] if verb == "keep" else None
        self.store.end_all(self.user, keep, int(stamp) if stamp else None, forget=verb == "forget")

    def seen(self) -> object:
        """Return what a look at everything shows: who lives, and who is listed."""
        there = {name: self.store.read(where, slide=False) for name, where in self.names.items()}
        lives = frozenset(name for name, found in there.items() if isinstance(found, Record))
        return lives, *(self.listed(user) for user in (self.user, self.other))

    def listed(self, user: Reference) -> frozenset[str]:
        """Return the sessions that a user's list shows."""
        found = {entry.reference for entry in self.store.sessions(user)}
        return frozenset(name for name, where in self.names.items() if where in found)


def _names() -> dict[str, Reference]:
    buckets = {"A": 1, "B": 600, "S": 300}
    names = {name: reference(bucket) for name, bucket in buckets.items()}
    return names | {f"N{number}": reference(300) for number in range(2)}


def _allowed(visitor: str, acts: tuple[str, str]) -> set[object]:
    """Return what may be seen: both acts one after the other; or one alone, and the other refused.

    A bind or rotation whose target was ended before it got there changes nothing.
    """
    allowed: set[object] = set()
    for order in ((0, 1), (1, 0), (0,), (1,)):
        place = Memory()
        world = World(place.new_store(), _names())
        world.set_up(visitor, place)
        place.let_pass(5)
        answers: dict[int, object] = {0: "refused", 1: "refused"}
        for number in order:
            answers[number] = world.act(acts[number], number)
            place.let_pass(5)
        if len(order) == 2 or _may_refuse(acts[order[0]], acts[1 - order[0]]):
            allowed.add((answers[0], answers[1], world.seen()))
    return allowed


def _may_refuse(act: str, other: str) -> bool:
    """Tell whether an act ends sessions that another one has on their way."""
    ends = act.startswith(("bind", "login")) or (act in ENDS and act != "list")
    return ends and other.startswith(("bind", "rotate", "login"))


WHOLE = os.environ.get("CLUSTER") == "all"
TURNS = int(os.environ.get("TURNS", "2"))
VISITORS = ("guest", "same", "other")
ACTS = ("bind 2", "rotate S", "rotate A", "unbind S", "destroy S", "login 2")
ENDS = ("revoke", "revoke 2", "keep", "forget", "list")
PAIRS = [*product(ACTS, ENDS), *combinations_with_replacement(ACTS, 2)]
FEW = [
    ("bind 2", "revoke", "guest"),
    ("rotate S", "revoke 2", "same"),
    ("bind 2", "forget", "other"),
    ("rotate S", "login 2", "same"),
    ("login 2", "login 2", "guest"),
]
"""Those that are taken without CLUSTER=all."""


@pytest.fixture(name="steps")
def _steps(server_place: AtCluster) -> LimitedStore:
    """A store whose calls can be taken step by step."""
    store = server_place.new_store()
    served: Any = store.store
    served.client.__class__ = Pausing
    return store


@pytest.mark.parametrize(
    ("one", "two", "visitor"),
    [(*pair, who) for pair in PAIRS for who in VISITORS] if WHOLE else FEW,
)
def test_every_order_is_as_if_one_came_first(
    steps: LimitedStore, server_place: AtCluster, visitor: str, one: str, two: str
) -> None:
    """Two calls at once, in every order of their steps: it is as if one came after the other."""
    allowed, world = _allowed(visitor, (one, two)), World(steps, {})

    def begin() -> list[Taken]:
        nonlocal world
        world = World(steps, _names(), reference(9), reference(10))
        world.set_up(visitor, server_place)
        return [Taken(partial(world.act, act, number)) for number, act in enumerate((one, two))]

    for order, calls in orders(begin, TURNS):
        for call in calls:
            assert call.failure is None, (order, call.failure)
        seen = (calls[0].outcome, calls[1].outcome, world.seen())
        assert seen in allowed, (order, seen, allowed)


@pytest.mark.parametrize("visitor", VISITORS)
@pytest.mark.parametrize("act", [*ACTS, *ENDS])
def test_a_call_that_dies_after_any_step_loses_no_session(
    steps: LimitedStore, server_place: AtCluster, visitor: str, act: str
) -> None:
    """Its user's index names each living session, so that it ends with them; a resend ends well."""
    explained = _alone(visitor, act)
    step, whole = 0, False
    while not whole:
        world = World(steps, _names(), reference(9), reference(10))
        world.set_up(visitor, server_place)
        call = Taken(partial(world.act, act, 0))
        for _ in range(step):
            call.step()
        whole = call.done
        if not whole:
            call.kill()
            assert isinstance(call.failure, Killed)
        bound = _bound(server_place, world)
        for name, user in bound.items():
            assert name in _named(server_place, world, user), (step, name)
        if step % 2:
            world.act(act, 0)
            assert world.seen() == explained, step
        for user in (world.user, world.other):
            world.store.end_all(user)
        assert not _bound(server_place, world), step
        again = Bind(world.user, 2, b"", 2)
        world.store.apply(world.names["N1"], (), create=True, finish=again)
        assert world.listed(world.user) == {"N1"}
        step += 1


def _alone(visitor: str, act: str) -> object:
    """Return what is seen after one act."""
    place = Memory()
    world = World(place.new_store(), _names())
    world.set_up(visitor, place)
    place.let_pass(5)
    world.act(act, 0)
    return world.seen()


def _bound(place: AtCluster, world: World) -> dict[str, Reference]:
    """Return the living sessions that are bound, and to whom."""
    users = {}
    for name, where in world.names.items():
        birth, digest = place.server.raw.hmget(place.key(where), "\0m", "\0u")
        if birth and digest:
            users[name] = next(u for u in (world.user, world.other) if name_of(u) == digest[:22])
    return users


def _named(place: AtCluster, world: World, user: Reference) -> set[str]:
    """Return the sessions that a user's index names, whatever their state."""
    held = {entry[:22] for entry in place.server.raw.hkeys(place.key(user, "u"))}
    return {name for name, where in world.names.items() if name_of(where) in held}
