"""The calls that every peer answers: the shop's HTTP contract, and what the anomalies need."""

from typing import Final

CART: Final = "/api/cart"
ITEMS: Final = "/api/cart/items"
LOGIN: Final = "/api/login"
LOGOUT: Final = "/api/logout"
SESSION: Final = "/api/session"

REVOKE: Final = "/api/revoke"
"""Ends all sessions of a user, as "log out everywhere" does; any browser may ask: 204, or
`NOTHING_TO_REVOKE` if browsers hold the sessions."""

NOTHING_TO_REVOKE: Final = 501

OAUTH_START: Final = "/oauth/start"
"""Stores a random state in the session, and answers with it."""

OAUTH_CALLBACK: Final = "/oauth/callback?state="
"""Followed by the state: 200 if the session has it, otherwise 400 with `OTHER_STATE`."""

OTHER_STATE: Final = "the state is not the one that this session began with"
"""The `detail` of the problem document."""

LATE: Final = "/late/"
"""Followed by the name of a gate: adds to the cart once the driver has opened the gate."""

GATE_SECONDS: Final = 15
"""How long a late writer waits at its gate."""

CREDENTIALS: Final = {"username": "ada", "password": "ada"}

SKUS: Final = ("honey", "jam", "labels", "magnets", "maple", "notes", "rice", "tape")
"""Of the lines of a cart under load."""

RACED: Final = ("tea", "jam", "rice", "wax", "honey")
"""What the race adds in turn: a line holds 99 at most, and 401 additions need five lines."""
