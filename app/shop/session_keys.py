"""The names of what the shop keeps in a session; no other module has such a name of its own."""

from typing import Final

HITS: Final = "hits"  # how often the session was shown
GUEST: Final = "guest"  # the random id that owns the orders of a guest
PASSWORD_VERSION: Final = "version"  # of the password that the session was made with
CART: Final = "cart"  # a map, sku → quantity
# The first word of the name of a map that holds a cart which was taken for an order; the order's
# id and its owner are the others.
TAKEN: Final = "order"
