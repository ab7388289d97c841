"""Fuzzed interleavings: nothing acknowledged is lost or doubled, and planted faults are found."""

import logging
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest
from unsticky.stores.base import UNREAD, Gone, Move, Write
from unsticky.stores.documents import Session
from unsticky.stores.memory import MemoryStore
from unsticky.stores.planning import Plan, _Write
from unsticky.unit_of_work import conflicts, operations, stored_session
from unsticky.unit_of_work.changes import ChangeSet
from unsticky.unit_of_work.lifecycle import Absent
from unsticky.unit_of_work.operation_names import OperationNames
from unsticky.unit_of_work.operations import Operations
from unsticky.unit_of_work.stored_session import StoredSession

from tests.library.contract.fuzz_cases import Case, Step, make_case, shrunk
from tests.library.contract.fuzzing import Fuzzer, case_names, kind_of, main, table
from tests.support.stores.places import AtServer, Memory

Plant = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Thousands of conflicts are no news."""
    caplog.set_level(logging.CRITICAL + 1, "unsticky")


def test_nothing_is_lost_or_doubled_in_memory() -> None:
    """Whatever two to four requests of one browser do, in whatever order, each step is right."""
    tally = Fuzzer(Memory()).run(case_names("memory", 4000))
    assert not tally.violations, table(tally)
    assert sum(tally.operations.values()) > 20_000


def test_nothing_is_lost_or_doubled_where_a_session_is_emptied() -> None:
    """Others begin it again while the request that emptied it goes on."""
    tally = Fuzzer(Memory()).run(case_names("emptied", 4000))
    assert not tally.violations, table(tally)


def test_nothing_is_lost_or_doubled_at_a_server(server_place: AtServer) -> None:
    """The same at real servers."""
    names = [*case_names("server", 400), *case_names("emptied", 200)]
    tally = Fuzzer(server_place).run(names)
    assert not tally.violations, table(tally)


def test_the_same_seed_makes_the_same_run() -> None:
    """Two runs of one seed do and see the same, one of another seed does not."""
    first, again, other = (
        table(Fuzzer(Memory()).run(case_names(seed, 300))) for seed in ("1", "1", "2")
    )
    assert first == again != other


def _takes_without_writing_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(operations, "flush", lambda *_: None)


def _merges_by_keeping_the_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(conflicts, "three_way", lambda _, __, theirs: theirs)


def _names_no_operation(patch: pytest.MonkeyPatch) -> None:
    named = OperationNames.next

    def unnamed(*args: Any, **options: Any) -> Any:
        return named(*args, **options)._replace(request=secrets.token_bytes(16))

    patch.setattr(OperationNames, "next", unnamed)


def _names_operations_by_their_place(patch: pytest.MonkeyPatch) -> None:
    """Plant what a store does that knows operations by request and ordinal only."""
    write = MemoryStore.write

    def by_place(
        self: Any, reference: Any, changes: Any, operation: Any, *args: Any, **kw: Any
    ) -> Any:
        self.places = {} if not hasattr(self, "places") else self.places
        answers: dict[Any, Any] = vars(self).setdefault("answers", {})
        key = reference, operation.request, operation.ordinal
        if key not in answers:
            answers[key] = write(self, reference, changes, operation, *args, **kw)
        return answers[key]

    patch.setattr(MemoryStore, "write", by_place)


def _unbinds_without_deleting(patch: pytest.MonkeyPatch) -> None:
    unbind = Operations.unbind
    patch.setattr(Operations, "unbind", lambda self, _: unbind(self, ()))


def _unbinds_without_leaving_the_user(patch: pytest.MonkeyPatch) -> None:
    placed = _Write._placed  # noqa: SLF001

    def kept(self: Any, session: Any, finish: Any) -> Any:
        if isinstance(finish, Move):
            finish = replace(finish, unbind=False)
        return placed(self, session, finish)

    patch.setattr(_Write, "_placed", kept)


def _takes_every_write_for_unread(patch: pytest.MonkeyPatch) -> None:
    writes = ChangeSet._writes  # noqa: SLF001

    def unread(self: ChangeSet, *prefix: bytes) -> Iterator[Write]:
        return (Write(write.field, write.value, UNREAD) for write in writes(self, *prefix))

    patch.setattr(ChangeSet, "_writes", unread)


def _moves_by_copying(patch: pytest.MonkeyPatch) -> None:
    placed = _Write._placed  # noqa: SLF001

    def copied(self: Any, session: Any, finish: Any) -> Any:
        found = placed(self, session, finish)
        self.plan.put(self.reference, session)
        return found

    patch.setattr(_Write, "_placed", copied)


def _compares_nothing_that_was_only_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ChangeSet, "checks", lambda _: ())


def _forgets_changes_in_place(patch: pytest.MonkeyPatch) -> None:
    committed = ChangeSet.committed

    def forgetful(self: ChangeSet, changes: Any) -> None:
        committed(self, changes)
        self._mutable.clear()

    patch.setattr(ChangeSet, "committed", forgetful)


def _begins_again_what_ended(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Plan, "bury", lambda *_: None)


def _begins_anew_over_what_others_began(patch: pytest.MonkeyPatch) -> None:
    """Plant a store in which who begins an emptied session takes it for empty still."""
    applied = _Write._applied  # noqa: SLF001

    def over(self: Any, found: Any) -> Any:
        if self.create and isinstance(found, Session):
            found = replace(found, fields={})
        return applied(self, found)

    patch.setattr(_Write, "_applied", over)


def _begins_beside_what_others_began(patch: pytest.MonkeyPatch) -> None:
    create = StoredSession._create  # noqa: SLF001

    def beside(self: StoredSession, *args: Any) -> Any:
        self.state = Absent()
        return create(self, *args)

    patch.setattr(StoredSession, "_create", beside)


def _forgets_what_was_read_of_the_emptied(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(stored_session, "read_of_nothing", lambda _: {})


def _begins_under_an_id_that_was_given_up(patch: pytest.MonkeyPatch) -> None:
    def kept(act: Any) -> Any:
        def keeping(self: StoredSession, *args: Any, **options: Any) -> Any:
            known = self.created or self.seen_alive
            held = self.token if known else getattr(self.state, "emptied", None)
            try:
                return act(self, *args, **options)
            finally:
                if self.state == Absent():
                    self.state = Absent(held)

        return keeping

    for name in ("write", "end"):
        patch.setattr(StoredSession, name, kept(getattr(StoredSession, name)))


def _names_a_beginning_by_itself(patch: pytest.MonkeyPatch) -> None:
    """Plant a name for what begins an emptied session that its resend does not come to."""
    create = StoredSession._create  # noqa: SLF001

    def named(self: StoredSession, changes: Any, operation: Any, *args: Any) -> Any:
        return create(self, changes, operation._replace(ordinal=operation.ordinal + 1), *args)

    patch.setattr(StoredSession, "_create", named)


def _forgets_what_ended_after_it_was_done(patch: pytest.MonkeyPatch) -> None:
    outcome = _Write.outcome

    def forgetful(self: _Write) -> Any:
        found = outcome(self)
        return replace(found, done=False) if isinstance(found, Gone) else found

    patch.setattr(_Write, "outcome", forgetful)


def _leaves_the_emptied_to_others_at_a_login(patch: pytest.MonkeyPatch) -> None:
    create = StoredSession._create  # noqa: SLF001

    def left(self: StoredSession, changes: Any, operation: Any, rotation: Any) -> Any:
        if rotation is not None:
            self.state = Absent()
        return create(self, changes, operation, rotation)

    patch.setattr(StoredSession, "_create", left)


@pytest.mark.parametrize(
    ("plant", "kinds"),
    [
        (_takes_without_writing_first, {"write lost", "parcel", "add lost"}),
        (_merges_by_keeping_the_first, {"leaf lost"}),
        (_names_no_operation, {"resend answered otherwise", "taken and nowhere", "foreign change"}),
        (_names_operations_by_their_place, {"write lost", "add lost", "taken and there"}),
        (_unbinds_without_deleting, {"move changed fields"}),
        (_unbinds_without_leaving_the_user, {"wrong user"}),
        (_takes_every_write_for_unread, {"overwrote what it had not read", "leaf lost"}),
        (_moves_by_copying, {"moved and alive"}),
        (_compares_nothing_that_was_only_read, {"transaction on old state"}),
        (_forgets_changes_in_place, {"write lost", "leaf lost"}),
        (_begins_again_what_ended, {"ended and alive"}),
        (_begins_anew_over_what_others_began, {"foreign change"}),
        (_begins_beside_what_others_began, {"begun beside"}),
        (_forgets_what_was_read_of_the_emptied, {"transaction on old state", "parcel"}),
        (_begins_under_an_id_that_was_given_up, {"old id begun again"}),
        (_names_a_beginning_by_itself, {"foreign change", "taken and there"}),
        (_leaves_the_emptied_to_others_at_a_login, {"revived"}),
        (_forgets_what_ended_after_it_was_done, {"done again elsewhere"}),
    ],
    ids=lambda value: value.__name__.lstrip("_") if callable(value) else "",
)
def test_a_planted_fault_is_found(
    plant: Plant, kinds: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library with this fault does not get through, and the smallest case is short."""
    plant(monkeypatch)
    fuzzer = Fuzzer(Memory())
    for name in chain(*zip(case_names("planted", 3000), case_names("emptied", 3000), strict=True)):
        case = make_case(name)
        error = fuzzer.found(case)
        if error is not None and kind_of(error) in kinds:
            report = fuzzer.report(name, case, kind_of(error))
            assert len(report.splitlines()) <= 14, report
            return
    pytest.fail("no case met the fault")


def test_a_case_shrinks_to_what_fails() -> None:
    """Requests, steps, faults and resends that do not matter go."""
    steps = (Step(0, ("begin", "first")), Step(0, ("set", "a", 1), "lost"), Step(1, ("end",)))
    case = Case((*steps, Step(2, ("end",))), ((2, 0),), empty=True)
    found = shrunk(case, lambda smaller: any(step.op[0] == "set" for step in smaller.steps))
    begun = Step(0, ("begin", "jar"))
    assert found == Case((begun, Step(0, ("set", "a", 1))), empty=True)


def test_the_program_reports_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It prints a table of operations, outcomes and violations; these are its exit status."""
    assert main(["--seed", "memory", "--cases", "50"]) == 0
    assert "0 violations" in capsys.readouterr().out
    _moves_by_copying(monkeypatch)
    assert main(["--seed", "1", "--cases", "100"]) == 1
    assert "VIOLATION moved and alive" in capsys.readouterr().out
