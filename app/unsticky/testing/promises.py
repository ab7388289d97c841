"""The promises of docs/guarantees.md that a store keeps, and the tests of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

import pytest

T = TypeVar("T", bound=Callable[..., Any])

PROMISES: Final = {
    "P1": "Nothing is lost silently",
    "P2": "An ended session stays ended",
    "P4": "Round trips",
    "P5": "Time limits hold in the server",
    "P7": "Privilege change changes the id",
    "P8": "The store cannot execute code",
    "P9": "Failure is honest",
    "P10": "Users own their sessions",
    "P11": "Same semantics in every store",
    "P12": "The commit point",
}
"""Each with its heading there. The others are the library's, whatever the store does."""

LACKS: Final = {"users": "P10", "processes": "P1"}
"""What `Store.lacks` may name, and the promise of which that is a part."""

NOT_KEPT: Final = "not kept: "
"""How the reason begins for which a test is skipped whose promise the store does not give."""


def promise(name: str) -> Callable[[T], T]:
    """Say which promise a test holds, if it is not that of its module (`PROMISE`)."""

    def named(test: T) -> T:
        vars(test)["promise"] = name
        return test

    return named


def not_kept(what: str) -> NoReturn:
    """End a test: the store says that it lacks this."""
    pytest.skip(f"{NOT_KEPT}the store lacks {what!r}")
