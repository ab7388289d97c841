"""Cases of the fuzzer: which requests do what, in which order, and where the store fails."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias

Op: TypeAlias = tuple[Any, ...]
"""What a request does, by name, with its arguments; `fuzz_visits` carries it out."""

COUNTERS: Final = ("n", "n", "m", "cart.x", "cart.x", "cart.y", "order.x")
"""`n` is only ever added to; the others are set, deleted and taken, too."""
TEXTS: Final = ("a", "a", "b", "_user_id")
NUMBERS: Final = ("m", "cart.x", "cart.y", "order.x")
DICTS: Final = ("d", "d", "cart.z")
LEAVES: Final = ("l1", "l2")

_INSTANT: Final = 100
_LENGTHS: Final = (1, 2, 2, 3, 3, 4, 4, 6)


class Step(NamedTuple):
    """One step of one request.

    Attributes:
        visit: which request.
        op: what it does. `begin` comes by itself where it is missing.
        fault: what befalls a write of this step: see `Watched`; empty for nothing.
        countdown: which write of this step, 0 for the first.
    """

    visit: int
    op: Op
    fault: str = ""
    countdown: int = 0


@dataclass(frozen=True)
class Case:
    """What happens, in order.

    Attributes:
        steps: see `Step`.
        resends: requests that are another one sent again, under its name and with its cookie.
        empty: the browser has no session at first.
        small: it has one with one thing in it, which is soon emptied.
    """

    steps: tuple[Step, ...]
    resends: tuple[tuple[int, int], ...] = ()
    empty: bool = False
    small: bool = False


def make_case(name: str) -> Case:
    """Return the case of that name: always the same one.

    If the name begins with `emptied`, the session is small, and is emptied more often.
    """
    draw = random.Random(name)
    if not name.startswith("emptied"):
        return _Maker(draw).case()
    maker = _Maker(draw)
    maker.kinds += [lambda: ("take", "cart"), lambda: ("commit",)] * 12
    maker.kinds += [kind for kind, weight in maker.weights if weight == 1] * 3
    return replace(maker.case(), empty=False, small=True)


class _Maker:
    """Draws cases."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.values = 0
        self.weights: list[tuple[Callable[[], Op], int]] = [
            (self._read, 3),
            (self._incr, 6),
            (self._set, 4),
            (self._read_write, 4),
            (self._put, 3),
            (self._dict, 6),
            (self._delete, 2),
            (lambda: ("take", draw.choice(("cart", "cart", "order"))), 3),
            (lambda: ("into",), 2),
            (lambda: ("commit",), 2),
            (lambda: ("rotate",), 1),
            (lambda: ("bind", draw.choice(("ann", "bob"))), 1),
            (lambda: ("unbind", *draw.sample(("_user_id", "a", "d"), 2)), 1),
            (lambda: ("clear",), 1),
            (lambda: ("lifetime", draw.randint(3600, 7200)), 1),
        ]
        self.kinds = [kind for kind, weight in self.weights for _ in range(weight)]

    def case(self) -> Case:
        """Draw a case."""
        draw = self.draw
        programs = [self._program() for _ in range(draw.choice((2, 2, 3, 3, 4)))]
        resends: list[tuple[int, int]] = []
        queues = {visit: list(program) for visit, program in enumerate(programs)}
        waiting: dict[int, list[Step]] = {}
        if draw.random() < 0.25:
            first, again = draw.randrange(len(programs)), len(programs)
            resends.append((again, first))
            waiting[first] = [Step(again, step.op) for step in self._steps(0, programs[first])]
        steps: list[Step] = []
        lanes = {visit: self._steps(visit, program) for visit, program in queues.items()}
        if resends:
            # The answer to the first is lost, or its worker dies on the way.
            lane = lanes[resends[0][1]]
            cut = draw.choice((len(lane), draw.randint(1, len(lane))))
            lanes[resends[0][1]] = lane[:cut]
        while lanes:
            visit = draw.choice(sorted(lanes))
            for _ in range(draw.choice((1, 1, 2, _INSTANT))):
                if not lanes[visit]:
                    break
                steps.append(lanes[visit].pop(0))
            if not lanes[visit]:
                del lanes[visit]
                if visit in waiting:
                    lanes[resends[0][0]] = waiting.pop(visit)
        empty, small = draw.random() < 0.15, draw.random() < 0.2
        return Case(tuple(steps), tuple(resends), empty, small and not empty)

    def _steps(self, visit: int, program: list[Op]) -> list[Step]:
        faulty = self.draw.random() < 0.15
        return [self._step(visit, op, faulty=faulty) for op in program]

    def _step(self, visit: int, op: Op, *, faulty: bool) -> Step:
        draw = self.draw
        fault = "twice" if draw.random() < 0.05 else ""
        if faulty and draw.random() < 0.4:
            fault = draw.choice(("lost", "unsent", "twice"))
        return Step(visit, op, fault, draw.choice((0, 0, 0, 1)) if fault else 0)

    def _program(self) -> list[Op]:
        draw = self.draw
        ops = [draw.choice(self.kinds)() for _ in range(draw.choice(_LENGTHS))]
        if draw.random() < 0.2:
            inside = [op for op in ops if op[0] != "commit"]
            end: Op = ("tx-end", draw.choice((0, 2)), draw.random() < 0.15)
            before = [draw.choice(self.kinds)()] if draw.random() < 0.4 else []
            after = [draw.choice(self.kinds)()] if draw.random() < 0.4 else []
            ops = [*before, ("tx",), *inside, end, *after]
        begin = ("begin", "first" if draw.random() < 0.2 else "jar")
        return [begin, *ops, ("end",)]

    def _value(self) -> int:
        self.values += 1
        return self.values

    def _read(self) -> Op:
        draw = self.draw
        return draw.choice(
            (
                ("get", draw.choice((*COUNTERS, *TEXTS, *DICTS))),
                ("in", draw.choice(TEXTS)),
                ("items",),
                ("list", draw.choice(("cart", "order"))),
                ("names",),
                ("user",),
            )
        )

    def _incr(self) -> Op:
        draw = self.draw
        name, delta = draw.choice(COUNTERS), draw.choice((1, 1, 2, 5, -1))
        low = draw.choice((None, None, None, 0, 1))
        high = draw.choice((None, None, None, 2, 6))
        return "incr", name, delta, low, high

    def _set(self) -> Op:
        if self.draw.random() < 0.4:
            return "set", self.draw.choice(NUMBERS), 100 * self._value()
        return "set", self.draw.choice(TEXTS), f"v{self._value()}"

    def _read_write(self) -> Op:
        name = self.draw.choice((*TEXTS, *NUMBERS))
        if name in NUMBERS:
            return "add", name, self.draw.choice((1, 3))
        return "change", name, f"v{self._value()}"

    def _put(self) -> Op:
        value = self._value()
        return "put", f"cart.p{value}", f"p{value}"

    def _dict(self) -> Op:
        draw = self.draw
        name, leaf, value = draw.choice(DICTS), draw.choice(LEAVES), f"v{self._value()}"
        return draw.choice(
            (
                ("leaf", name, leaf, value),
                ("leaf", name, f"u{self.values}", value),
                ("held", name, f"u{self.values}", value),
                ("held", name, leaf, value),
                ("unleaf", name, leaf),
                ("whole", name, leaf, value),
                ("default", name),
            )
        )

    def _delete(self) -> Op:
        return "pop", self.draw.choice((*TEXTS, *NUMBERS, *DICTS))


def shrunk(case: Case, fails: Callable[[Case], bool]) -> Case:
    """Return the smallest case that still fails: steps, faults and resends are dropped in turn."""
    progress = True
    while progress:
        progress = False
        for smaller in _smaller(case):
            if fails(smaller):
                case, progress = smaller, True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    for visit in sorted({step.visit for step in case.steps}):
        steps = tuple(step for step in case.steps if step.visit != visit)
        resends = tuple(pair for pair in case.resends if visit not in pair)
        yield replace(case, steps=steps, resends=resends)
    for at, step in enumerate(case.steps):
        rest = case.steps[:at] + case.steps[at + 1 :]
        if step.op[0] != "begin" or not any(other.visit == step.visit for other in rest):
            yield replace(case, steps=rest)
    for at, step in enumerate(case.steps):
        if step.fault:
            steps = (*case.steps[:at], Step(step.visit, step.op), *case.steps[at + 1 :])
            yield replace(case, steps=steps)
        if step.op == ("begin", "first"):
            jar = Step(step.visit, ("begin", "jar"))
            yield replace(case, steps=(*case.steps[:at], jar, *case.steps[at + 1 :]))
    if case.resends:
        yield replace(case, resends=())
