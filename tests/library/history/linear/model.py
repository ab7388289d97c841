"""What one session may answer if its operations come one after the other: docs/guarantees.md.

An answer is a word and the fields that the client saw. The words: `ok`; `refused` by a bound of a
counter; `gone`, the session is not there any more; `begun`, another session began instead of one
that had been ended. A conflict is no answer of the model, since it changes nothing and may always
be given to one of two; `checker.causeless` demands the other one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

ITEMS = ("apple", "pear")
CART = tuple(f"cart.{item}" for item in ITEMS)
PAIR = ("pair.a", "pair.b")
# Of these, each group can be judged without the others: no operation reads one to change another.
GROUPS = (("lineage",), ("user",), ("n",), ("note",), ("made",), *((name,) for name in CART), PAIR)


class Kind(StrEnum):
    """What an operation does; its argument is in brackets."""

    BEGIN = "begin"
    """Creates a session [its lineage]."""
    LOOK = "look"
    """Reads everything."""
    COUNT = "count"
    """Adds 1 to the counter `n`."""
    ADD = "add"
    """Adds 1 to an entry of the map `cart` [the item]."""
    REMOVE = "remove"
    """Takes 1 from an entry of `cart`, not below 0 [the item]."""
    TAKE = "take"
    """Takes all entries of `cart`."""
    SET = "set"
    """Sets `note` without reading it [what to]."""
    REPLACE = "replace"
    """Reads `note`, then sets it [what to]."""
    TRANSFER = "transfer"
    """Moves 1 from `pair.a` to `pair.b`, in a transaction."""
    ONCE = "once"
    """Adds 1 to `made`, once under a name [the name]."""
    BIND = "bind"
    """Makes it the session of a user, under a new id [the user]."""
    ROTATE = "rotate"
    DESTROY = "destroy"


MOVES = frozenset({Kind.BIND, Kind.ROTATE})
LIVES = MOVES | {Kind.DESTROY}

_TOUCHES: dict[Kind, tuple[str, ...]] = {
    Kind.COUNT: ("n",),
    Kind.TAKE: CART,
    Kind.SET: ("note",),
    Kind.REPLACE: ("note",),
    Kind.TRANSFER: PAIR,
    Kind.ONCE: ("made",),
    Kind.LOOK: tuple(name for group in GROUPS for name in group),
}


@dataclass(frozen=True)
class Call:
    """One operation as its client saw it.

    Attributes:
        number: unique in its history.
        handle: of the session whose cookie was sent.
        started, ended: seconds; it never ended if its outcome is unknown.
        word: see the module; `conflict` or `unavailable` if nothing was changed, empty if unknown.
        seen: fields and their values in the answer.
        landed: the handle in the answer's cookie, if there was one.
    """

    number: int
    client: int
    kind: Kind
    handle: str
    argument: str
    started: float
    ended: float = float("inf")
    word: str = ""
    seen: dict[str, Any] = field(default_factory=dict)
    landed: str = ""
    request: str = ""

    @property
    def touches(self) -> tuple[str, ...]:
        """The fields that it reads or changes."""
        if self.kind in {Kind.ADD, Kind.REMOVE}:
            return (f"cart.{self.argument}",)
        return _TOUCHES.get(self.kind, ())

    @property
    def is_known(self) -> bool:
        """Whether its client knows what happened."""
        return bool(self.word)


Fields = dict[str, Any]


class State(NamedTuple):
    """A session between two operations.

    Attributes:
        lives: its id, and its fields in order; those of `once` are its results. Nothing if it was
            ended. A login by the cookie of an ended session begins another one, which may be here,
            too.
        ended: the ids under which it was ended.
    """

    lives: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    ended: frozenset[str] = frozenset()


class Step(NamedTuple):
    """One thing that an operation may do."""

    word: str
    seen: Fields
    after: State


def begun(call: Call) -> State:
    """Return the session that a `begin` created."""
    return State(((call.landed, (("lineage", call.argument),)),))


def steps(state: State, call: Call) -> Iterator[Step]:
    """Yield all that an operation may answer and leave in this state."""
    lives = {handle: dict(fields) for handle, fields in state.lives}
    if call.handle in lives:
        yield _alive(state, lives, call)
    elif call.kind is Kind.LOOK:
        yield Step("ok", {}, state)
    elif call.handle not in state.ended:
        # Moved away: nothing begins, and nothing reaches the session by the old id.
        yield Step("gone", {}, state)
    elif call.kind in {Kind.TAKE, Kind.DESTROY, Kind.ROTATE}:
        yield Step("ok", {}, state)
        yield Step("gone", {}, state)
    elif call.kind is Kind.BIND:
        yield Step("gone", {}, state)
        yield Step("ok", {}, _moved(state, lives, call, {}))
    else:
        # It was under way at the end, or it came later and begins another session.
        yield Step("gone", {}, state)
        word, seen, _ = _changed({}, call)
        yield Step("begun" if word == "ok" else word, seen, state)


def _alive(state: State, lives: dict[str, Fields], call: Call) -> Step:
    if call.kind is Kind.DESTROY:
        del lives[call.handle]
        return Step("ok", {}, _state(lives, state.ended | {call.handle}))
    if call.kind in MOVES:
        return Step("ok", {}, _moved(state, lives, call, lives.pop(call.handle)))
    word, seen, lives[call.handle] = _changed(lives[call.handle], call)
    return Step(word, seen, _state(lives, state.ended))


def _changed(fields: Fields, call: Call) -> tuple[str, Fields, Fields]:
    """Return the answer of an operation on these fields, and what it leaves of them."""
    match call.kind:
        case Kind.COUNT | Kind.ADD | Kind.REMOVE:
            (name,) = call.touches
            return _added(fields, name, -1 if call.kind is Kind.REMOVE else 1)
        case Kind.SET | Kind.REPLACE:
            read = {name: value for name, value in fields.items() if name == "note"}
            seen = read if call.kind is Kind.REPLACE else {}
            return "ok", seen, fields | {"note": call.argument}
        case Kind.TAKE:
            taken = {name: value for name, value in fields.items() if name in CART}
            return "ok", taken, {n: value for n, value in fields.items() if n not in taken}
        case Kind.TRANSFER:
            moved = {"pair.a": fields.get("pair.a", 0) - 1, "pair.b": fields.get("pair.b", 0) + 1}
            return "ok", moved, fields | moved
        case Kind.ONCE:
            return _once(fields, f"once {call.argument}")
        case _:
            return "ok", _lasting(fields), fields


def _once(fields: Fields, name: str) -> tuple[str, Fields, Fields]:
    if name in fields:
        return "ok", {"made": fields[name]}, fields
    made = fields.get("made", 0) + 1
    return "ok", {"made": made}, fields | {"made": made, name: made}


def _added(fields: Fields, name: str, delta: int) -> tuple[str, Fields, Fields]:
    value = fields.get(name, 0) + delta
    if value < 0:
        return "refused", {name: value - delta}, fields
    return "ok", {name: value}, fields | {name: value}


def _moved(state: State, lives: dict[str, Fields], call: Call, fields: Fields) -> State:
    # Nobody reaches a session by an id that no answer named.
    if call.landed:
        user = {"user": call.argument} if call.kind is Kind.BIND else {}
        # Results of `once` end with the id.
        lives[call.landed] = _lasting(fields) | user
    return _state(lives, state.ended)


def _lasting(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if not name.startswith("once ")}


def _state(lives: dict[str, Fields], ended: frozenset[str]) -> State:
    ordered = ((handle, tuple(sorted(fields.items()))) for handle, fields in lives.items())
    return State(tuple(sorted(ordered)), ended)


def projected(call: Call, names: tuple[str, ...]) -> Call | None:
    """Return an operation as one sees it who looks at these fields alone; None if not at all."""
    if call.kind not in LIVES and not set(call.touches) & set(names):
        return None
    return replace(call, seen={name: v for name, v in call.seen.items() if name in names})
