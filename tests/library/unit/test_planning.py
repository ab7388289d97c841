"""The planning of a call, without a store."""

from collections import Counter

from unsticky.stores import Bind, Caps, Document, Lifetimes, Move, Operation, Plan, Reference
from unsticky.stores.documents import Session

_LIFETIMES = Lifetimes(idle=1000, absolute=None, unused=1000)


def test_a_call_loads_each_document_once() -> None:
    """Otherwise it could mix two states of a document, and the store compare only the later one."""
    documents: dict[str, Document] = {}
    loaded: Counter[str] = Counter()

    def load(key: str) -> Document | None:
        loaded[key] += 1
        return documents.get(key)

    user = Reference(1, b"u" * 16)
    for number in range(3):
        loaded.clear()
        plan = Plan(load, number, Caps(10, 1000))
        old, new = (Reference(1, kind * 15 + b"%d" % number) for kind in (b"o", b"n"))
        move = Move(new, Bind(user, 1, b"", 2))
        create, bind = Operation(b"create", number), Operation(b"bind", number)
        plan.write(old, (), create, _LIFETIMES, create=True, finish=None, load=False)
        plan.write(old, (), bind, _LIFETIMES, create=False, finish=move, load=True)
        documents |= plan.replaced
        assert max(loaded.values()) == 1


def test_a_session_is_kept_no_longer_than_its_absolute_limit() -> None:
    """Its document expires at that limit, also if the idle limit would let it live longer."""
    lifetimes = Lifetimes(idle=1000, absolute=300, unused=1000)
    documents: dict[str, Document] = {}
    where, successor = Reference(1, b"a" * 16), Reference(1, b"b" * 16)
    for now, finish in ((0, None), (100, None), (200, Move(successor))):
        plan = Plan(documents.get, now, Caps(10, 1000))
        name = Operation(b"write", now)
        plan.write(where, (), name, lifetimes, create=True, finish=finish, load=False)
        documents |= plan.replaced
        sessions = [each for each in documents.values() if isinstance(each, Session)]
        assert [session.expires for session in sessions] == [300]
