"""The names of what the shop keeps in a session; no other module has such a name of its own."""

from typing import Final

HITS: Final = "hits"
"""How often the session was shown."""

GUEST: Final = "guest"
"""The random id that owns the orders of a guest."""

PASSWORD_VERSION: Final = "version"
"""Of the password that the session was made with."""

CART: Final = "cart"
"""A map, sku → quantity."""

TAKEN: Final = "order"
"""The first word of the name of a map that holds a cart which was taken for an order. The order's
id and its owner are the others."""
