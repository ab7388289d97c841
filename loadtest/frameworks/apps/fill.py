"""Makes sessions in bulk by the library itself, as the carts of `flask_cart` make them.

`python -m loadtest.frameworks.apps.fill NUMBER COOKIES`, with the store's URL in REDIS_URL, makes
so many sessions of eight lines, and prints Cookie headers of so many, spread over all.
"""

import secrets
import sys
from typing import Any, Final, cast

from unsticky.fields import entry_field, map_prefix
from unsticky.stores.base import Add, Deadline, Operation, Written

from loadtest.frameworks import contract
from loadtest.frameworks.apps import cart
from loadtest.frameworks.apps.flask_cart import create_app

QUANTITY: Final = 3
_SECONDS = 30.0
# The results of writes, which are kept for resends, would count as memory of sessions.
_KEPT_MS = 1


def main(number: int, cookies: int) -> None:
    """Make the sessions, and print the cookies."""
    app = create_app("unsticky")
    state = cast("Any", app.extensions["unsticky"]).state
    name = app.config["SESSION_COOKIE_NAME"]
    lines = tuple(
        Add(entry_field(map_prefix("cart"), sku), QUANTITY, 0, cart.MOST_PER_LINE)
        for sku in contract.SKUS
    )
    every = max(1, number // cookies)
    for count in range(number):
        token = state.ring.mint()
        operation = Operation(secrets.token_bytes(16), 0, _KEPT_MS)
        outcome = state.store.write(
            token.reference, lines, operation, state.lifetimes, Deadline(_SECONDS), create=True
        )
        if not isinstance(outcome, Written):
            raise SystemExit(f"error: a session was not made: {outcome}")
        if count % every == 0 and count // every < cookies:
            sys.stdout.write(f"{name}={state.ring.sign(token, 0)}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
