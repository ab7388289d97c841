"""Several requests of one browser, stepped in any order, against a model that fits on a page."""

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from unsticky import SessionError, SessionGone
from unsticky.codec import decode
from unsticky.cookie import Reference
from unsticky.fields import name_of
from unsticky.stores.base import Record

from tests.support.browsers import Browser, InFlight, Site, make_site, reference_of
from tests.support.stores.places import Place, deadline

_SLOTS = st.integers(0, 2)
_NAMES = st.sampled_from(["a", "b"])


class _Gone(Exception):
    """The model says that the session ended while the request held it."""


class _Conflict(Exception):
    """The model says that two requests changed the same field."""


@dataclass
class _Stored:
    """What the model's store holds of one session: fields, or how it ended ("" for expired)."""

    fields: dict[str, int] = field(default_factory=dict)
    ended: str | None = None
    reference: Reference | None = None
    cookie: str | None = None


@dataclass
class _Request:
    """What the model knows of a request under way."""

    real: InFlight
    stored: _Stored | None
    alive: bool = False
    moved: bool = False
    base: dict[str, int] | None = None
    pending: dict[str, int] = field(default_factory=dict)
    read: dict[str, int | None] = field(default_factory=dict)

    def forget(self) -> None:
        """Drop what it changed: half of a login or a logout is worse than none."""
        self.pending = {}

    def find(self) -> _Stored | None:
        """Return the living session, None where a new one may begin."""
        if self.moved:
            raise _Gone
        if self.stored is None or self.stored.ended is None:
            # A session once found to have ended stays so for this request.
            self.alive = self.alive or self.stored is not None
            return self.stored
        if self.alive or self.stored.ended == "rotated":
            self.moved = True
            raise _Gone
        self.stored = None
        return None

    def load(self) -> None:
        """Learn what is there."""
        if self.base is None:
            rotated = self.stored is not None and self.stored.ended == "rotated"
            if self.moved or (rotated and not self.alive):
                self.moved, self.base = True, {}
                return
            found = self.find()
            self.base = dict(found.fields) if found else {}


class _Machine(RuleBasedStateMachine):
    """A browser with up to three requests under way at once."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.site: Site = make_site(place)
        self.jar: _Stored | None = None
        self.all: list[_Stored] = []
        self.requests: dict[int, _Request] = {}

        for name in ("a", "b"):
            self.write(0, name, 0)
        self.end(0)

    @rule(slot=_SLOTS, name=_NAMES)
    def read(self, slot: int, name: str) -> None:
        request = self._at(slot)
        expected: Any
        try:
            if name in request.pending:
                expected = request.pending[name]
            else:
                request.load()
                assert request.base is not None
                expected = request.read.setdefault(name, request.base.get(name))
        except _Gone:
            expected = SessionGone
        assert self._did(lambda: request.real.session.get(name)) == expected

    @rule(slot=_SLOTS, name=_NAMES, value=st.integers(0, 2))
    def write(self, slot: int, name: str, value: int) -> None:
        request = self._at(slot)
        request.real.session[name] = value
        request.pending[name] = value

    @rule(slot=_SLOTS)
    def incr(self, slot: int) -> None:
        request = self._at(slot)
        expected: Any
        try:
            found = request.find()
        except _Gone:
            expected = SessionGone
        else:
            created = found is None
            found = found or self._new(request)
            found.fields["n"] = expected = found.fields.get("n", 0) + 1
            if request.base is None:
                request.base = {} if created else dict(found.fields)
            request.base["n"] = expected
        assert self._did(lambda: request.real.session.incr("n")) == expected
        self._refer(request)

    def rotate(self, slot: int) -> None:
        request = self._at(slot)
        expected: Any = None
        try:
            found = request.find()
        except _Gone:
            expected = SessionGone
            request.forget()
        else:
            if found is not None:
                self._new(request).fields.update(found.fields)
                found.ended = "rotated"
        assert self._did(request.real.session.rotate) == expected
        self._refer(request)

    def destroy(self, slot: int) -> None:
        request = self._at(slot)
        expected: Any = None
        stored = request.stored
        if stored is not None and stored.ended == "rotated":
            expected, request.moved = SessionGone, True
            request.forget()
        else:
            if stored is not None and stored.ended is None:
                stored.ended = "destroyed"
            if not request.moved:
                request.stored, request.alive = None, False
            request.base, request.pending, request.read = {}, {}, {}
        assert self._did(request.real.session.destroy) == expected

    @rule(slot=_SLOTS, name=_NAMES, value=st.integers(0, 2))
    def read_and_write(self, slot: int, name: str, value: int) -> None:
        self.read(slot, name)
        self.write(slot, name, value)

    @rule(slots=st.permutations([0, 1, 2]), name=_NAMES, end=st.integers(0, 2))
    def race(self, slots: list[int], name: str, end: int) -> None:
        for value, slot in enumerate(slots[:2]):
            self.read(slot, name)
            self.write(slot, name, value)
        for slot in slots[:end]:
            self.end(slot)

    @rule(slot=_SLOTS)
    def end(self, slot: int) -> None:
        if request := self.requests.pop(slot, None):
            try:
                self._commit(request)
            except _Gone:
                expected = "session-gone"
            except _Conflict:
                expected = "session-conflict"
            else:
                expected = ""
            answer = request.real.end()
            assert answer.code == expected
            self._refer(request)
            if answer.cookie:
                assert request.stored is not None
                request.stored.cookie = answer.cookie
                self.jar = request.stored
            elif answer.cookie == "":
                self.jar = None

    @rule(slot=_SLOTS, end=st.sampled_from(["rotate", "destroy", "expire", "revoke"]))
    def end_session(self, slot: int, end: str) -> None:
        if end == "rotate":
            self.rotate(slot)
        elif end == "destroy":
            self.destroy(slot)
        elif end == "expire":
            self.expire(slot)
        else:
            self.revoke(slot)

    def expire(self, choice: int) -> None:
        living = [stored for stored in self.all if stored.ended is None]
        if not living:
            return
        stored = living[-1 - choice % len(living)]
        assert stored.reference is not None
        self.site.place.expire(stored.reference)
        stored.ended = ""

    def revoke(self, choice: int) -> None:
        known = [stored for stored in self.all if stored.reference is not None]
        if known:
            stored = known[-1 - choice % len(known)]
            assert stored.reference is not None
            revoked = self.site.sessions.revoke(stored.reference.handle)
            assert revoked == (stored.ended is None)
            stored.ended = "revoked" if stored.ended is None else stored.ended

    @invariant()
    def the_store_equals_the_model(self) -> None:
        for stored in self.all:
            assert stored.reference is not None
            state = self.site.sessions.state
            record = state.store.read(stored.reference, state.lifetimes, deadline())
            if stored.ended is not None:
                assert not isinstance(record, Record)
                continue
            assert isinstance(record, Record)
            assert record.fields is not None
            held = {name_of(name): decode(value) for name, value in record.fields.items()}
            assert held == stored.fields

    def _at(self, slot: int) -> _Request:
        if slot not in self.requests:
            browser = Browser(self.site.app, self.jar.cookie if self.jar else None)
            self.requests[slot] = _Request(browser.begin(), self.jar)
        return self.requests[slot]

    @rule(slots=st.permutations([0, 1, 2]))
    def begin(self, slots: list[int]) -> None:
        for slot in slots[:2]:
            self._at(slot)

    def _commit(self, request: _Request) -> None:
        known = request.base or {}
        changed = {
            name: value
            for name, value in request.pending.items()
            if request.base is None or known.get(name) != value
        }
        if not changed:
            return
        found = request.find()
        stored = found.fields if found is not None else {}
        # Only what the request read itself is compared; elsewhere the last write wins.
        if any(request.read.get(name, stored.get(name)) != stored.get(name) for name in changed):
            raise _Conflict
        (found or self._new(request)).fields.update(changed)

    def _new(self, request: _Request) -> _Stored:
        request.stored = _Stored()
        request.alive = True
        self.all.append(request.stored)
        return request.stored

    def _refer(self, request: _Request) -> None:
        if request.stored is not None and request.stored.reference is None:
            where = reference_of(request.real.session)
            request.stored.reference = where

    @staticmethod
    def _did(call: Any) -> Any:
        try:
            return call()
        except SessionError as error:
            return type(error)


def test_the_store_equals_the_model(place: Place) -> None:
    """Whatever the order of steps, answers and stored fields are those of the model."""
    run_state_machine_as_test(
        lambda: _Machine(place),  # type: ignore[arg-type]  # (any callable that makes one will do)
        settings=settings(
            max_examples=100,
            stateful_step_count=30,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
