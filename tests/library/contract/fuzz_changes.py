"""Judges what became of a request's own changes, and adds up what was acknowledged.

A change is right if what it replaced was read by the request, or overwritten by a write that had
read nothing. The ledger knows nothing of steps: it holds sums, and parcels that are in one place.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from unsticky.cookie import Reference

from tests.library.contract.fuzz_books import Book, Violation, copied, parcels
from tests.library.contract.fuzz_world import ABSENT, Fields, State


@dataclass
class Ledger:
    """What was acknowledged, added up independently of the steps that were judged.

    Attributes:
        counts: what was added to the counter `n` of each session.
        put: parcels that were acknowledged.
        taken: how often each parcel was taken.
        ended: parcels of sessions that were ended.
        again: parcels of requests that were sent twice, which may put them twice.
    """

    counts: Counter[Reference] = field(default_factory=Counter)
    put: set[str] = field(default_factory=set)
    taken: Counter[str] = field(default_factory=Counter)
    ended: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)

    def close(self, states: dict[Reference, State | None]) -> None:
        """Compare with what is there when all requests have ended.

        Raises:
            Violation: a sum is wrong, or a parcel is in two places or in none.
        """
        places: Counter[str] = Counter(self.taken)
        for reference, state in states.items():
            if state is None:
                continue
            places.update(parcels(state.fields))
            if state.fields.get("n", 0) != self.counts[reference]:
                detail = f"n is {state.fields.get('n')}, {self.counts[reference]} were added"
                raise Violation("sum", detail)
        for parcel in self.put - self.again:
            count = places[parcel]
            if count > 1 or (count == 0 and parcel not in self.ended):
                raise Violation("parcel", f"{parcel} is in {count} places")


class Changes:
    """Judges what requests wrote.

    Args:
        names: what the requests of a case call themselves; those sent twice share a name.

    Attributes:
        ledger: see `Ledger`.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.ledger = Ledger()
        self._names = Counter(names)
        self._written: list[tuple[str, str, Any]] = []

    def is_resent(self, book: Book) -> bool:
        """Tell whether a request is sent twice."""
        return self._names[book.name] > 1

    def judge(self, book: Book, old: Fields, new: Fields, scope: set[str]) -> None:
        """Judge what the request's own changes of the fields in `scope` became.

        Raises:
            Violation: one was lost, or replaced what it may not, or another field changed.
        """
        for name in old.keys() | new.keys() | scope:
            was, now = old.get(name, ABSENT), new.get(name, ABSENT)
            if name in scope:
                self._judge_one(book, name, was, now)
            elif was != now:
                raise Violation("foreign change", f"{name}: {was!r} became {now!r}")
        again = {name for name in scope if self.was_written(book, name)}
        self.note(book, scope, old)
        for name in scope:
            mine = book.own.pop(name)
            if name in book.known and name in again:
                del book.known[name]  # it may take what the first request wrote for what is there
                book.maybe.add(name)
            elif name in book.known and book.known[name] != mine:
                book.known[name] = copied(new.get(name, ABSENT))

    def _judge_one(self, book: Book, name: str, was: Any, now: Any) -> None:
        mine, known = book.own[name], book.known.get(name)
        if name in book.unsure and now != was and book.unsure[name] == mine:
            raise Violation("written again", f"{name}: {was!r} became {now!r}, a second time")
        if now == was and (mine == known or name in book.unsure or self.was_written(book, name)):
            return  # nothing to write, or written before
        if now == mine and (name not in book.known or was == known or name in book.maybe):
            return
        if now == was == mine and not isinstance(mine, int):
            return
        if name in book.known or name in book.maybe:
            self._merged(name, known, mine, was, now)
            return
        if now == was and book.may_be_as_loaded(name):
            return
        if isinstance(mine, dict) and isinstance(book.committed.get(name), dict):
            # Changed in place after it was written: what was written may count as what was read.
            self._merged(name, book.committed[name], mine, was, now)
            return
        raise Violation("write lost", f"{name}: set to {mine!r}, {was!r} became {now!r}")

    @staticmethod
    def _merged(name: str, known: Any, mine: Any, was: Any, now: Any) -> None:
        """Demand that a dict holds both sides' leaves, less what either saw and removed."""
        sides = [{} if side is ABSENT or side is None else side for side in (known, mine, was)]
        seen, ours, theirs = sides
        detail = f"{name}: read {known!r}, set {mine!r}, {was!r} became {now!r}"
        if not all(isinstance(side, dict) for side in (*sides, now)) or mine is ABSENT:
            raise Violation("overwrote what it had not read", detail)
        for leaf in seen.keys() | ours.keys() | theirs.keys() | now.keys():
            before, own = seen.get(leaf), ours.get(leaf)
            there, stored = theirs.get(leaf), now.get(leaf)
            if own not in {before, stored}:
                raise Violation("leaf lost", f"{leaf} of {detail}")
            if own == before and stored != there:
                raise Violation("leaf lost", f"{leaf} of {detail}")
            if own != before and there not in {before, own}:
                raise Violation("leaf overwritten", f"{leaf} of {detail}")

    def note(self, book: Book, scope: set[str], old: Fields) -> None:
        """Enter what was written into the ledger."""
        for name in scope:
            value = book.own.get(name, ABSENT)
            self._written.append((book.name, name, copied(value)))
            book.committed[name] = copied(value)
            if ".p" in name and isinstance(value, str) and value not in old.values():
                (self.ledger.again if self.is_resent(book) else self.ledger.put).add(value)

    def doubt(self, book: Book, scope: set[str]) -> None:
        """Take these changes as perhaps written, so that a resend need not write them."""
        self._written += [(book.name, name, copied(book.own[name])) for name in scope]

    def was_written(self, book: Book, name: str) -> bool:
        """Tell whether a request of this name wrote the same before: this one is its resend."""
        return (
            self.is_resent(book)
            and name in book.own
            and (book.name, name, book.own[name]) in self._written
        )
