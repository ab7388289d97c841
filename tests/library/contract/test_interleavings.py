"""Two requests of one session, at every interleaving that matters, for every pair of operations."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from unsticky import SessionError
from unsticky.cookie import Reference

from tests.support.browsers import Browser, InFlight, Site, make_site, reference_of
from tests.support.stores.places import Place

BEFORE: dict[str, Any] = {"same": "base", "n": 1, "cart": {"milk": 2, "tea": 1}}
OPERATIONS = (
    "read",
    "write",
    "other",
    "map",
    "incr",
    "take",
    "into",
    "rotate",
    "bind",
    "destroy",
    "expire",
    "revoke",
)

# One row for each operation of the first request, which loads the session and then waits; one
# column for each operation of the second, which runs whole in between, in OPERATIONS' order.
#
#   =  both happened, as if the second request had come first
#   x  the first is answered with a conflict, and only the second happened
#   R, D, E, V  the first is told that the session was rotated, destroyed, expired or revoked while
#      it ran, and only the second happened
LOADED = """
read     = = = = = = = = = = = =
write    = x = = = = = R R D E V
other    = = = = = = = R R D E V
map      = = = = = = = R R D E V
incr     = = = = = = = R R D E V
take     = = = = = = = R R D E V
into     = = = = = = = R R D E V
rotate   = = = = = = = R R D E V
bind     = = = = = = = R R D E V
destroy  = = = = = = = R R = = =
expire   = = = = = = = = = = = =
revoke   = = = = = = = = = = = =
"""

# The same where the first request comes late: with the old cookie, without having seen the session
# alive. After an end that is known as final a new session may begin, so nothing stands against
# running after the second request; after a rotation the browser has a newer cookie, so it may not.
LATE = """
read     = = = = = = = = = = = =
write    = = = = = = = R R = = =
other    = = = = = = = R R = = =
map      = = = = = = = R R = = =
incr     = = = = = = = R R = = =
take     = = = = = = = R R = = =
into     = = = = = = = R R = = =
rotate   = = = = = = = R R = = =
bind     = = = = = = = R R = = =
destroy  = = = = = = = R R = = =
expire   = = = = = = = = = = = =
revoke   = = = = = = = = = = = =
"""
GONE = {"R": "rotated", "D": "destroyed", "E": "expired", "V": "revoked"}


@dataclass
class World:
    """A site with one session, and the browser's two requests."""

    site: Site
    origin: Reference
    handle: str


def act(  # noqa: C901  (one branch for each operation)
    world: World, request: InFlight, who: str, operation: str
) -> None:
    """Do one operation in a request; `who` is A or B."""
    session = request.session
    match operation:
        case "read":
            session.get("same")
        case "write":
            session["same"] = who
        case "other":
            session[f"only {who}"] = who
        case "map":
            session.map("cart").incr("tea", 1 if who == "A" else 10)
        case "incr":
            session.incr("n", 1 if who == "A" else 10)
        case "take":
            session.map("cart").take()
        case "into":
            session.map("cart").take(into="order")
        case "rotate":
            session.rotate()
        case "bind":
            session.bind(f"user {who}")
        case "destroy":
            session.destroy()
        case "expire":
            # Only what still lives can reach the end of its time.
            if world.site.stored(Browser(world.site.app, request.browser.cookie)) is not None:
                world.site.place.expire(world.origin)
        case "revoke":
            world.site.sessions.revoke(world.handle)


def model(state: dict[str, Any] | None, who: str, operation: str) -> dict[str, Any] | None:
    """Return what one operation alone makes of what a session holds; None is no session."""
    after: dict[str, Any] = {} if state is None else {**state}
    match operation:
        case "write":
            after["same"] = who
        case "other":
            after[f"only {who}"] = who
        case "map":
            cart = after.get("cart", {})
            after["cart"] = {**cart, "tea": cart.get("tea", 0) + (1 if who == "A" else 10)}
        case "incr":
            after["n"] = after.get("n", 0) + (1 if who == "A" else 10)
        case "take":
            after.pop("cart", None)
        case "into":
            if cart := after.pop("cart", None):
                after["order"] = {**after.get("order", {}), **cart}
        case "destroy" | "expire" | "revoke":
            return None
    return after or None


def cells(grid: str) -> list[Any]:
    """Return (first operation, second operation, outcome) of each cell."""
    rows = [line.split() for line in grid.strip().splitlines()]
    assert [row[0] for row in rows] == list(OPERATIONS)
    return [
        pytest.param(row[0], second, outcome, id=f"{row[0]}-{second}")
        for row in rows
        for second, outcome in zip(OPERATIONS, row[1:], strict=True)
    ]


@pytest.mark.parametrize(("first", "second", "outcome"), cells(LOADED))
def test_a_request_that_loaded(place: Place, first: str, second: str, outcome: str) -> None:
    """A loads the session, B runs whole, A acts and ends: nothing is lost, nothing revived."""
    _interleave(place, first, second, outcome, lambda request: request.session.get("same"))


@pytest.mark.parametrize(("first", "second", "outcome"), cells(LATE))
def test_a_request_that_comes_late(place: Place, first: str, second: str, outcome: str) -> None:
    """A has the old cookie and looks at nothing before B is through: nothing lost or revived."""
    _interleave(place, first, second, outcome, lambda _: None)


def _interleave(
    place: Place, first: str, second: str, outcome: str, prepare: Callable[[InFlight], object]
) -> None:
    site = make_site(place)
    browser = site.browser(same="base", n=1)
    setting_up = browser.begin()
    setting_up.session.map("cart").update({"milk": 2, "tea": 1})
    origin = reference_of(setting_up.session)
    setting_up.end()
    world = World(site, origin, origin.handle)
    old_cookie = browser.cookie

    # Either request's answer may arrive first; each browser keeps what its own request was told.
    a_side, b_side = Browser(site.app, old_cookie), Browser(site.app, old_cookie)
    a = a_side.begin()
    prepare(a)
    b = b_side.begin()
    act(world, b, "B", second)
    assert b.end().status == 200
    after_b = model(BEFORE, "B", second)
    try:
        act(world, a, "A", first)
    except SessionError as error:
        a.response.status_code = 299  # the application's own answer to it
        failure = error.code, getattr(error, "kind", "")
    else:
        failure = "", ""
    answer = a.end()
    if answer.code:
        kind = next((kind for kind in GONE.values() if f"was {kind} while" in answer.detail), "")
        failure = answer.code, kind

    moved = second in {"rotate", "bind"}
    if outcome == "=":
        assert failure == ("", "")
        # Revoking or expiring what was moved away reaches the old place only.
        late = moved and first in {"expire", "revoke", "read"}
        expected = after_b if late else model(after_b, "A", first)
        if first in {"take", "into"} and after_b is None:
            expected = None
    else:
        assert failure == (
            ("session-conflict", "") if outcome == "x" else ("session-gone", GONE[outcome])
        )
        assert answer.cookie is None
        expected = after_b

    # The session lives where its last move, or the new beginning, put it.
    newest = a_side if answer.cookie is not None else b_side
    assert site.stored(newest) == expected
    if moved or second in {"destroy", "expire", "revoke"} or first in {"rotate", "bind", "destroy"}:
        assert site.stored(Browser(site.app, old_cookie)) is None
    if outcome != "=" and after_b is None:
        assert site.stored(a_side) is None
