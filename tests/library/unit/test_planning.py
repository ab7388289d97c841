"""The planning of a call, without a store."""

from collections import Counter

from unsticky.stores import Bind, Caps, Document, Lifetimes, Move, Operation, Plan, Reference

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
