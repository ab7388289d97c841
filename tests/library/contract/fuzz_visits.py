"""Requests of the fuzzer: carry out one step, and enter into the book what a view would know."""

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from unsticky import Conflict, OutOfRange, Session
from unsticky.cookie import Reference
from unsticky.unit_of_work import commit

from tests.library.contract.fuzz_books import Book, copied, parcels, under
from tests.library.contract.fuzz_cases import Op
from tests.library.contract.fuzz_world import ABSENT, Fields, World
from tests.support.browsers import unit_of


@dataclass
class Visit:
    """A request under way.

    Attributes:
        world: where it happens.
        session: what its view sees.
        environ: its environment.
        cookie: the cookie that it came with.
        book: what its view knows.
        held: the objects that its view holds on to, by field.
        failed: what its view raised.
        done: the operations of the transaction under way.
        arrived: the session that its cookie named.
        ended: whether it was answered.
    """

    world: World
    session: Session
    environ: dict[str, Any]
    cookie: str | None
    book: Book
    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: Exception | None = None
    done: list[Op] = field(default_factory=list)
    arrived: Reference | None = None
    ended: bool = False

    @property
    def reference(self) -> Reference | None:
        """The session that it holds now."""
        token = unit_of(self.session).token
        return token.reference if token is not None else None

    @property
    def buffering(self) -> bool:
        """Whether it is in a transaction."""
        return unit_of(self.session).in_transaction

    def do(self, op: Op) -> Any:
        """Carry out an operation; return what its view was told."""
        if self.buffering and op[0] != "commit":
            self.done.append(op)
        return _OPS[op[0]](self, *op[1:])

    def roll_back(self) -> None:
        """Leave a transaction whose view raised."""
        unit = unit_of(self.session)
        unit.roll_back()
        unit.end_transaction()
        self.start_afresh()
        self.book.outer_limit = None

    def start_afresh(self) -> None:
        """Forget what was read and changed."""
        self.book.forget(self.world.now)
        self.held.clear()
        self.done.clear()

    def place(self, name: str) -> tuple[MutableMapping[Any, Any], str]:
        """Return where a field is: the session or a map of it, and the key."""
        whole, dot, key = name.partition(".")
        return (self.session.map(whole), key) if dot else (self.session, name)

    # Reading and changing plain keys and entries.

    def get(self, name: str) -> Any:
        """Read a field."""
        mapping, key = self.place(name)
        value = mapping.get(key, ABSENT)
        self.book.saw(name, value)
        if isinstance(value, dict):
            self.held[name] = value
        return value

    def assign(self, name: str, value: Any) -> None:
        """Set a field."""
        mapping, key = self.place(name)
        mapping[key] = value
        self.book.wrote(name, value)
        self.held.pop(name, None)
        if isinstance(value, dict):
            self.held[name] = value

    def pop(self, name: str) -> None:
        """Read and delete a field."""
        mapping, key = self.place(name)
        value = copied(mapping.pop(key, ABSENT))
        self.book.saw(name, value)
        self.held.pop(name, None)
        if value is not ABSENT:
            self.book.wrote(name, ABSENT)

    def add(self, name: str, delta: int) -> None:
        """Add by hand."""
        value = self.get(name)
        self.assign(name, delta + (0 if value is ABSENT else value))

    def change(self, name: str, value: str) -> None:
        """Read, then set."""
        self.get(name)
        self.assign(name, value)

    def present(self, name: str) -> None:
        """Look whether it is there, and read it if so."""
        mapping, key = self.place(name)
        if key in mapping:
            self.get(name)
        else:
            self.book.saw(name, ABSENT)

    # Dicts that are changed in place.

    def default(self, name: str) -> dict[str, Any]:
        """Return the dict there, set if it is absent."""
        value = self.get(name)
        if value is not ABSENT:
            assert isinstance(value, dict)
            return value
        mapping, key = self.place(name)
        made: dict[str, Any] = mapping.setdefault(key, {})
        self.book.wrote(name, made)
        self.held[name] = made
        return made

    def leaf(self, name: str, leaf: str, value: str) -> None:
        """Set a leaf of the dict there, which is read for it."""
        held = self.default(name)
        held[leaf] = value
        self.book.changed(name, held)

    def unleaf(self, name: str, leaf: str) -> None:
        """Remove a leaf of the dict there."""
        value = self.get(name)
        if isinstance(value, dict):
            value.pop(leaf, None)
            self.book.changed(name, value)

    def held_leaf(self, name: str, leaf: str, value: str) -> None:
        """Set a leaf through an object that was read or set before."""
        held = self.held.get(name)
        if held is not None:
            held[leaf] = value
            self.book.changed(name, held)

    # Looking at many.

    def items(self) -> None:
        """Read all plain keys."""
        self.book.looked = True
        for name, value in dict(self.session).items():
            if name in self.known_names(value):
                self.held[name] = value
            self.book.saw(name, copied(value))

    @staticmethod
    def known_names(value: Any) -> tuple[str, ...]:
        """Return the fields that may hold this value and be changed in place."""
        return ("d",) if isinstance(value, dict) else ()

    def listing(self, name: str) -> None:
        """Read all entries of a map."""
        told = {f"{name}.{key}": value for key, value in self.session.map(name).items()}
        self.book.listed(f"{name}.", {key: copied(value) for key, value in told.items()})

    def names(self) -> None:
        """List and count names, without reading values."""
        _ = list(self.session), self.session.maps(), len(self.session), bool(self.session)
        self.book.looked = True

    # At once.

    def incr(self, name: str, delta: int, low: int | None, high: int | None) -> int:
        """Add atomically."""
        buffering = self.buffering
        mapping: Any
        mapping, key = self.place(name)
        try:
            result: int = mapping.incr(key, delta, minimum=low, maximum=high)
        except OutOfRange as error:
            if buffering:
                self.book.counted(name, error.current)
            raise
        if buffering:
            self.book.counted(name, result - delta)
            self.book.wrote(name, result)
        return result

    def take(self, name: str, into: str | None = None) -> Fields:
        """Take a map's entries."""
        buffering = self.buffering
        found = self.session.map(name).take(into=into)
        told = {f"{name}.{key}": copied(value) for key, value in found.items()}
        for field_ in under(f"{name}.", self.held):
            del self.held[field_]
        if into:
            for field_ in under(f"{into}.", self.held):
                del self.held[field_]
        if buffering:
            self.book.listed(f"{name}.", told)
            if not into:
                self.book.taken |= parcels(told)
            for field_, value in told.items():
                self.book.wrote(field_, ABSENT)
                if into:
                    self.book.wrote(f"{into}.{field_.partition('.')[2]}", value)
        return told

    def clear(self) -> None:
        """End the session."""
        buffering = self.buffering
        self.book.limit = None
        self.session.clear()
        if buffering and self.reference is not None:
            before = self.book.before_end or self.book.copy()
            self.start_over()
            self.book.before_end, self.book.ends = before, True
        elif buffering:
            self.start_over()

    def start_over(self) -> None:
        """Forget what was changed: it went with the session."""
        done = list(self.done)
        self.start_afresh()
        self.done, self.book.limit = done, None

    def rotate(self) -> None:
        """Give it a new id."""
        self.session.rotate()
        if self.buffering and self.reference is not None:
            self.book.moves = True

    def bind(self, user: str) -> None:
        """Log in."""
        self.session.bind(user)
        if self.buffering:
            self.book.moves, self.book.bound = True, user

    def unbind(self, *names: str) -> None:
        """Log out."""
        had = self.reference is not None
        self.book.limit = None
        self.session.unbind(*names)
        for name in names:
            self.held.pop(name, None)
        if self.buffering or not had:
            for name in names:
                self.book.wrote(name, ABSENT)
        if self.buffering:
            self.book.moves = self.reference is not None
            self.book.bound, self.book.unbound = "", True

    def lifetime(self, idle: int) -> None:
        """Give the session a limit."""
        self.session.set_lifetime(idle=idle)
        self.book.limit = idle * 1000

    def commit(self) -> None:
        """Write what was changed so far."""
        if not self.buffering:
            commit(unit_of(self.session))

    def tx(self) -> None:
        """Write what was changed so far; what comes is a transaction."""
        if not self.buffering:
            commit(unit_of(self.session))

    def begin_transaction(self) -> None:
        """Begin one, or begin it again."""
        if not self.buffering:
            self.book.outer_limit = self.book.limit
        unit_of(self.session).begin_transaction()
        self.start_afresh()

    def tx_end(self, judge: Callable[[Exception | None], None], retries: int) -> None:
        """Commit as `@transaction` does: what met a conflict runs again.

        Args:
            judge: looks at each attempt.
            retries: how often.
        """
        unit = unit_of(self.session)
        for attempt in range(retries + 1):
            try:
                commit(unit)
            except Conflict as error:
                judge(error)
                again = list(self.done)
                unit.roll_back()
                self.start_afresh()
                if attempt == retries:
                    unit.end_transaction()
                    self.book.outer_limit = None
                    raise
                self.begin_transaction()
                self._run(again)
            except Exception as error:
                judge(error)
                self.roll_back()
                raise
            else:
                unit.end_transaction()
                judge(None)
                self.book.outer_limit = None
                self.done.clear()
                return

    def _run(self, ops: list[Op]) -> None:
        for op in ops:
            try:
                self.do(op)
            except OutOfRange:
                continue


_OPS: dict[str, Callable[..., Any]] = {
    "get": Visit.get,
    "in": Visit.present,
    "items": Visit.items,
    "list": Visit.listing,
    "names": Visit.names,
    "user": lambda visit: visit.session.user,
    "set": Visit.assign,
    "put": Visit.assign,
    "add": Visit.add,
    "change": Visit.change,
    "pop": Visit.pop,
    "default": Visit.default,
    "leaf": Visit.leaf,
    "unleaf": Visit.unleaf,
    "held": Visit.held_leaf,
    "whole": lambda visit, name, leaf, value: visit.assign(name, {leaf: value}),
    "incr": Visit.incr,
    "take": Visit.take,
    "into": lambda visit: visit.take("cart", "order"),
    "clear": Visit.clear,
    "rotate": Visit.rotate,
    "bind": Visit.bind,
    "unbind": Visit.unbind,
    "lifetime": Visit.lifetime,
    "commit": Visit.commit,
    "tx": Visit.tx,
}
