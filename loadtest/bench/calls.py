"""The calls of an application that is measured, and what is in its carts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Calls:
    """Where an application's calls are; `late` is followed by the name of a gate.

    Attributes:
        cart: shows the cart, with the number of pieces as `count`.
        items: adds `{"sku"}` to it.
        login: takes the credentials and begins a user's session.
        logout: ends it.
        whose: tells the `user`, or null.
        late: adds to the cart when the driver gives a sign.
        skus: what is added under load, in turn.
        raced: what is added in the race, in turn.
        credentials: the body of a login.
    """

    cart: str
    items: str
    login: str
    logout: str
    whose: str
    late: str
    skus: tuple[str, ...]
    raced: tuple[str, ...]
    credentials: dict[str, str]


BENCH = Calls(
    cart="/cart",
    items="/cart/items",
    login="/login",
    logout="/logout",
    whose="/me",
    late="/late/",
    skus=tuple(f"item-{number}" for number in range(1, 9)),
    raced=("tea",),
    credentials={"user": "ada"},
)
"""Of `bench.carts`."""

SHOP = Calls(
    cart="/api/cart",
    items="/api/cart/items",
    login="/api/login",
    logout="/api/logout",
    whose="/api/session",
    late="/late/",
    skus=("honey", "jam", "labels", "magnets", "maple", "notes", "rice", "tape"),
    # A line holds 99 at most: 401 additions need five lines.
    raced=("tea", "jam", "rice", "wax", "honey"),
    credentials={"username": "ada", "password": "ada"},
)
"""Of the shop's HTTP contract, which the peers keep, too."""
