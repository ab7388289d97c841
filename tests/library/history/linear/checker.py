"""Finds out whether one order of operations explains all answers: linearizability.

The algorithm is that of Wing and Gong (1993) with the memory of Lowe, "Testing for linearizability"
(2017), in its form "just in time": an operation takes effect no earlier than the end of another one
demands it. At each end we keep all that may be true then: the session's state, and which of the
operations under way took effect. If nothing is left, no order explains the answers. An operation of
unknown outcome is under way for ever.

Sessions are independent, so each is judged alone; so are groups of fields, where that makes
a counter-example smaller.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.library.history.linear.model import (
    GROUPS,
    LIVES,
    MOVES,
    Call,
    Kind,
    State,
    begun,
    projected,
    steps,
)

MOST = 2_000
"""The most possibilities at once; beyond them a session is judged by those groups of fields alone
that have fewer."""

# What a person reads of a counter-example: so many operations that ended before.
_SHOWN = 6

Possibility = tuple[State, frozenset[int]]


class TooMany(Exception):
    """There are more possibilities than `MOST`."""


@dataclass
class Verdict:
    """What was found; `partly` counts sessions that were judged only in parts."""

    violations: list[str] = field(default_factory=list)
    sessions: int = 0
    operations: int = 0
    unknown: int = 0
    partly: int = 0


@dataclass
class _Impossible:
    """The first answer that nothing explains.

    Attributes:
        allowed: the answers that the model allows instead.
        past: after each end before it, the states that were possible.
    """

    call: Call
    names: tuple[str, ...]
    calls: Sequence[Call]
    allowed: list[str]
    past: list[tuple[float, list[State]]]


def judge(calls: Iterable[Call]) -> Verdict:
    """Return the verdict on a history."""
    verdict = Verdict()
    for start, session in sessions(calls):
        verdict.sessions += 1
        verdict.operations += sum(call.word != "unavailable" for call in session)
        verdict.unknown += sum(not call.is_known for call in session)
        verdict.violations += [
            f"a conflict that no other operation explains:\n{_line(call, 0)}"
            for call in causeless(session)
        ]
        effective = [c for c in session if c.word not in {"conflict", "unavailable"}]
        try:
            found = _first_impossible(start, effective)
        except TooMany:
            verdict.partly += 1
            found = _smallest(start, effective)
        else:
            found = found and (_smallest(start, effective) or found)
        if found:
            verdict.violations.append(_shown(found))
    return verdict


def sessions(calls: Iterable[Call]) -> Iterator[tuple[State, list[Call]]]:
    """Yield each session's first state, and what was asked of it under any of its ids."""
    ordered = sorted(calls, key=lambda call: call.started)
    first: dict[str, Call] = {}
    for call in ordered:
        if call.kind is Kind.BEGIN and call.landed:
            first[call.landed] = call
    lineage = {handle: handle for handle in first}
    # A session's next id is known only after the move that gave it.
    for call in sorted(ordered, key=lambda call: call.ended):
        if call.kind in MOVES and call.landed and call.handle in lineage:
            lineage[call.landed] = lineage[call.handle]
    asked: dict[str, list[Call]] = defaultdict(list)
    for call in ordered:
        if call.kind is not Kind.BEGIN and call.handle in lineage:
            asked[lineage[call.handle]].append(call)
    for handle, call in first.items():
        yield begun(call), asked[handle]


def causeless(calls: Sequence[Call]) -> Iterator[Call]:
    """Yield conflicts beside which no other operation can have changed a field of theirs."""
    for call in calls:
        if call.word == "conflict" and not any(
            other.kind is not Kind.LOOK
            and other is not call
            and other.word not in {"conflict", "unavailable", "gone", "refused"}
            and (set(other.touches) & set(call.touches) or other.kind in LIVES)
            and other.started <= call.ended
            and call.started <= other.ended
            for other in calls
        ):
            yield call


def _smallest(start: State, calls: Sequence[Call]) -> _Impossible | None:
    """Return what is impossible in the smallest group of fields; the first that fails."""
    found = []
    for names in GROUPS:
        seen = [one for call in calls if (one := projected(call, names))]
        with suppress(TooMany):
            found.append(_first_impossible(start, seen, names))
    return min(filter(None, found), key=lambda each: each.call.ended, default=None)


def _first_impossible(
    start: State, calls: Sequence[Call], names: tuple[str, ...] = ()
) -> _Impossible | None:
    events = sorted(
        [(call.started, 0, call.number, call) for call in calls]
        + [(call.ended, 1, call.number, call) for call in calls if call.is_known]
    )
    possible: set[Possibility] = {(start, frozenset())}
    pending: dict[int, Call] = {}
    past: list[tuple[float, list[State]]] = [(float("-inf"), [start])]
    for time, is_end, number, call in events:
        if not is_end:
            pending[number] = call
            continue
        before, possible = possible, _after(call, possible, pending, names)
        if not possible:
            allowed = _allowed(call, before, pending, names)
            return _Impossible(call, names, calls, allowed, past)
        del pending[number]
        past.append((time, sorted({state for state, _ in possible}, key=repr)))
    return None


def _after(
    call: Call, possible: set[Possibility], pending: dict[int, Call], names: tuple[str, ...]
) -> set[Possibility]:
    """Return what may be true at the end of an operation, which has taken effect by then."""
    left: set[Possibility] = set()
    for state, done in _reached(possible, call, pending, names):
        if call.number in done:
            left.add((state, done - {call.number}))
            continue
        for step in steps(state, call):
            if _agrees(call, step.word, step.seen, names):
                left.add((step.after, done))
    ways = _Ways(pending)
    return {each for each in sorted(left, key=_size) if ways.are_fewer(each)}


def _reached(
    possible: set[Possibility], until: Call, pending: dict[int, Call], names: tuple[str, ...]
) -> Iterator[Possibility]:
    """Yield all that follows if operations under way take effect before `until` does."""
    ways = _Ways(pending)
    # Those that need the least come first, so that the others are dropped.
    todo = deque(each for each in sorted(possible, key=_size) if ways.are_fewer(each))
    while todo:
        each = todo.popleft()
        yield each
        if until.number not in each[1]:
            todo += [new for new in _next(each, until, pending, names) if ways.are_fewer(new)]
        if len(todo) > MOST:
            raise TooMany


def _next(
    possibility: Possibility, until: Call, pending: dict[int, Call], names: tuple[str, ...]
) -> Iterator[Possibility]:
    """Yield what follows if one more operation under way takes effect."""
    state, done = possibility
    unknown: set[tuple[str, str, str]] = set()
    for number, call in pending.items():
        if number in done or call is until:
            continue
        # Of operations that do the same and never end, the first comes first.
        same = (call.kind, call.handle, call.argument)
        if not call.is_known and same in unknown:
            continue
        if not call.is_known:
            unknown.add(same)
        for step in steps(state, call):
            useless = not call.is_known and step.after == state
            if not useless and _agrees(call, step.word, step.seen, names):
                yield step.after, done | {number}


def _agrees(call: Call, word: str, seen: dict[str, Any], names: tuple[str, ...]) -> bool:
    if not call.is_known:
        return True
    if names:
        seen = {name: value for name, value in seen.items() if name in names}
    return call.word == word and call.seen == seen


class _Ways:
    """Ways to each state: one that needs more operations of unknown outcome is no other way."""

    def __init__(self, pending: dict[int, Call]) -> None:
        self._unknown = {number for number, call in pending.items() if not call.is_known}
        self._least: dict[tuple[State, frozenset[int]], list[frozenset[int]]] = defaultdict(list)

    def are_fewer(self, possibility: Possibility) -> bool:
        """Return whether this one needs something less than all before."""
        state, done = possibility
        needed = done & self._unknown
        least = self._least[state, done - needed]
        if any(other <= needed for other in least):
            return False
        least.append(needed)
        return True


def _size(possibility: Possibility) -> int:
    return len(possibility[1])


# What a person reads.


def _allowed(
    call: Call, possible: set[Possibility], pending: dict[int, Call], names: tuple[str, ...]
) -> list[str]:
    answers: set[str] = set()
    for state, done in _reached(possible, call, pending, names):
        if call.number not in done:
            for step in steps(state, call):
                seen = {n: value for n, value in step.seen.items() if not names or n in names}
                answers.add(_answer(call, step.word, seen))
    return sorted(answers)


def _shown(found: _Impossible) -> str:
    """Return the smallest window in which the impossible answer is seen to be impossible."""
    last = found.call
    place = max(0, len(found.past) - 1 - _SHOWN)
    since, states = found.past[place]
    origin = found.calls[0].started
    window = [
        call
        for call in found.calls
        if call.started <= last.ended and (call.ended > since or not call.is_known)
    ]
    held = [_holds(state, found.names) for state in states]
    lines = [
        f"session {last.handle}: no order of these operations explains the last answer"
        + (f" ({', '.join(found.names)} alone)" if found.names else ""),
        f"  before them the session held: {' or '.join(sorted(set(held))[:4])}",
        "     started      ended  client  operation         answer",
    ]
    window.sort(key=lambda call: (call is last, call.started))
    lines += [("→ " if call is last else "  ") + _line(call, origin) for call in window]
    lines.append(f"  the model allows: {'; or '.join(found.allowed[:6])}")
    return "\n".join(lines)


def _line(call: Call, origin: float) -> str:
    ended = f"{call.ended - origin:10.4f}" if call.is_known else "         ?"
    operation = f"{call.kind} {call.argument}".strip()
    answer = _answer(call, call.word, call.seen) if call.is_known else "unknown"
    request = f"  [{call.request}]" if call.request else ""
    return (
        f"{call.started - origin:10.4f} {ended}  {call.client:6}  {operation:16}  {answer}{request}"
    )


def _answer(call: Call, word: str, seen: dict[str, Any]) -> str:
    nothing = "nothing" if call.kind is Kind.LOOK and word == "ok" else ""
    return ", ".join(filter(None, [word, _listed(seen) or nothing]))


def _listed(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in sorted(fields.items()))


def _holds(state: State, names: tuple[str, ...]) -> str:
    if not state.lives:
        return "nothing, as it was ended"
    held = [
        {name: value for name, value in fields if not names or name in names}
        for _, fields in state.lives
    ]
    return " and ".join(_listed(each) or "nothing" for each in held)
