"""The race: 401 additions to one cart, 16 in flight, 5 articles in turn.

Lost is what was acknowledged and is not in the cart.
"""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.errors import LoadTestError
from loadtest.frameworks import contract
from loadtest.frameworks.client import Browser

ADDITIONS: Final = 401
IN_FLIGHT: Final = 16

_READS = 5
_OK = 200
_REFUSED = 409


@dataclass(frozen=True)
class Additions:
    """Outcome of one race; all but `lost` and `counted` are answers to the client.

    Attributes:
        counted: how much is in the cart in the end.
        lost: what was acknowledged and is not there; below zero if something was added twice.
    """

    acknowledged: int
    refused: int
    counted: int
    lost: int


def race_additions(server: Path) -> Additions:
    """Add `ADDITIONS` times, the first alone, because it makes the session.

    Raises:
        LoadTestError: an addition failed, or the cart cannot be read afterwards.
    """
    browser = Browser(server)
    skus = [contract.RACED[number % len(contract.RACED)] for number in range(ADDITIONS)]

    def add(sku: str) -> int:
        return browser.ask("POST", contract.ITEMS, {"sku": sku}).status

    first = add(skus[0])
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        count = Counter([first, *threads.map(add, skus[1:])])
    if failed := {status for status in count if status not in {_OK, _REFUSED}}:
        raise LoadTestError(f"additions to {server.stem} were answered {sorted(failed)}")
    counted = _counted(browser)
    return Additions(count[_OK], count[_REFUSED], counted, count[_OK] - counted)


def _counted(browser: Browser) -> int:
    """Return how much is in the cart; a server that is overloaded by the race may need a moment."""
    for _ in range(_READS):
        status, body = browser.ask("GET", contract.CART)
        if status == _OK:
            return int(body["count"])
        time.sleep(1)
    raise LoadTestError(f"GET {contract.CART} was answered {status} after the race")
