"""The calls of the shop's HTTP contract that every peer keeps, and what is added to its carts."""

from typing import Final

CART: Final = "/api/cart"
ITEMS: Final = "/api/cart/items"
LOGIN: Final = "/api/login"
LOGOUT: Final = "/api/logout"
SESSION: Final = "/api/session"

LATE: Final = "/late/"
"""Followed by the name of a gate: adds to the cart once the driver has opened the gate."""

GATE_SECONDS: Final = 5
"""How long a late writer waits at its gate."""

CREDENTIALS: Final = {"username": "ada", "password": "ada"}

SKUS: Final = ("honey", "jam", "labels", "magnets", "maple", "notes", "rice", "tape")
"""Of the lines of a cart under load."""

RACED: Final = ("tea", "jam", "rice", "wax", "honey")
"""What the race adds in turn: a line holds 99 at most, and 401 additions need five lines."""
