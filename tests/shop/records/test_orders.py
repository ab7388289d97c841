"""Orders: begun in the step that empties the cart, settled once."""

import threading

from shop.records.operation import Operation
from shop.records.orders import MOST_LISTED, Begun, Line
from shop.records.owner import Owner

from tests.shop.records.places import Place

ADA, GUEST = Owner.user("ada"), Owner.guest("g")
TEA, JAM = Line("tea", "Tea, süß", 2, 1160), Line("jam", "Jam", 1, 520)


def _fill(place: Place, name: str = "fill", **quantities: int) -> None:
    for sku, qty in quantities.items():
        place.carts.add(ADA, sku, qty, 99, Operation(f"{name} {sku}", 1))


def test_an_order(place: Place) -> None:
    """Begun it waits, and the cart is empty; settled it is listed, and nothing waits."""
    _fill(place, tea=2, jam=1)
    begun = place.orders.begin(ADA, "one")
    assert begun is not None
    assert (begun.id, begun.quantities) == ("one", {"tea": 2, "jam": 1})
    assert place.carts.quantities(ADA) == {}
    assert place.orders.list(ADA) == ((), (begun,))
    order = place.orders.settle(ADA, begun, [JAM, TEA], None)
    assert (order.id, order.created, order.lines) == ("one", begun.created, (JAM, TEA))
    assert order.total_cents == 2 * 1160 + 520
    assert place.orders.list(ADA) == ((order,), ())


def test_an_empty_cart(place: Place) -> None:
    """Nothing begins with it, and nothing is written."""
    assert place.orders.begin(ADA, "one") is None
    assert place.orders.list(ADA) == ((), ())
    assert place.raw is None or place.raw.dbsize() == 0


def test_beginning_again(place: Place) -> None:
    """An order that was begun stays as it was, and what came into the cart since stays there."""
    _fill(place, tea=2)
    begun = place.orders.begin(ADA, "one")
    assert begun is not None
    _fill(place, "more", jam=1)
    assert place.orders.begin(ADA, "one") == begun
    order = place.orders.settle(ADA, begun, [TEA], None)
    again = place.orders.begin(ADA, "one")
    assert again == Begun("one", {})
    assert place.orders.settle(ADA, again, [], None) == order
    assert place.carts.quantities(ADA) == {"jam": 1}
    assert place.orders.list(ADA) == ((order,), ())


def test_settling_again(place: Place) -> None:
    """The first one counts, whatever the second one would write."""
    first = place.orders.settle(GUEST, Begun("one", {"tea": 2}), [TEA], 60_000)
    assert place.orders.settle(GUEST, Begun("one", {"jam": 1}, 5), [JAM], None) == first
    assert place.orders.list(GUEST) == ((first,), ())


def test_the_newest_first(place: Place) -> None:
    """Orders are listed by the time of their creation, and no more than can be shown."""
    for number in range(1, MOST_LISTED + 6):
        place.orders.settle(ADA, Begun(f"o{number}", {}, 1_000 * number), [TEA], None)
    listed = place.orders.list(ADA).orders
    assert [order.created // 1000 for order in listed] == list(range(MOST_LISTED + 5, 5, -1))


def test_how_long_orders_are_kept(place: Place) -> None:
    """A guest's for a while after the last one, a user's for ever."""
    place.orders.settle(GUEST, Begun("one", {}), [TEA], 60_000)
    place.orders.settle(ADA, Begun("one", {}), [TEA], None)
    if place.raw is not None:
        for key in (GUEST.key("orders"), GUEST.key("order-ids")):
            assert 55_000 < place.raw.pttl(key) <= 60_000
        assert place.raw.pttl(ADA.key("orders")) == -1
        return
    place.clock.now += 59
    assert len(place.orders.list(GUEST).orders) == 1
    place.clock.now += 2
    assert place.orders.list(GUEST).orders == ()
    assert len(place.orders.list(ADA).orders) == 1


def test_forgetting(place: Place) -> None:
    """Only the orders that are named go; naming one twice, or none, is no error."""
    one, two = (
        place.orders.settle(GUEST, Begun(name, {}, number), [TEA], 60_000)
        for number, name in enumerate(("one", "two"), start=1)
    )
    place.orders.forget(GUEST, [one.id, one.id, "other"])
    assert place.orders.list(GUEST).orders == (two,)
    place.orders.forget(GUEST, [])
    assert place.orders.list(GUEST).orders == (two,)


def test_beginnings_at_the_same_moment(place: Place) -> None:
    """Of ten at once, with adds between them, everything is in one order, once, or in the cart."""
    ordered: list[int] = []

    def begin(number: int) -> None:
        begun = place.orders.begin(ADA, f"o{number}")
        if begun is not None:
            ordered.append(begun.quantities["tea"])

    def add() -> None:
        for number in range(50):
            place.carts.add(ADA, "tea", 1, 999, Operation(f"add {number}", 1))

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(10)]
    adder = threading.Thread(target=add)
    adder.start()
    for thread in threads:
        thread.start()
    for thread in (adder, *threads):
        thread.join()
    assert sum(ordered) + place.carts.quantities(ADA).get("tea", 0) == 50
    assert len(place.orders.list(ADA).begun) == len(ordered)
