"""Read-modify-write: a function runs again until nothing that it read has changed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from flask import current_app
from flask.typing import ResponseReturnValue
from flask.wrappers import Response

from .errors import Conflict
from .session import current_session
from .unit_of_work import UnitOfWork, commit

P = ParamSpec("P")
T = TypeVar("T")


def transact(function: Callable[[], T], retries: int = 5) -> T:
    """Call a function so that all it read still holds when its changes are written.

    Everything that the function does to the session, also `incr`, `take`, `rotate`, `bind` and
    `destroy`, is written in one atomic step when it returns. If another request changed something
    that it read, nothing is written and the function runs again on current data. So it must have no
    other effects, or only effects that may happen twice. If it raises, nothing is changed. What the
    request changed before the call is written before. A transaction inside another is part of it.

    Args:
        function: called without arguments.
        retries: how often it may run again.

    Returns:
        What the last run of the function returned.

    Raises:
        Conflict: it still conflicted after `retries`; answered with 409.
        TypeError: `Unsticky(app)` does not serve the sessions of the current application.
        ValueError: `retries` is below 0.
    """
    _check(retries)
    held = current_session()
    if held is None:
        raise TypeError("a transaction needs a session of Unsticky(app) in the current request")
    unit = held._unit  # noqa: SLF001 (the library's own)
    return function() if unit.in_transaction else _committed(unit, function, retries)


def transaction(
    *, retries: int = 5
) -> Callable[[Callable[P, ResponseReturnValue]], Callable[P, Response]]:
    """Decorate a view to run as by `transact`. A streamed body runs later and is not part of it.

    Args:
        retries: how often the view may run again.

    Raises:
        Conflict: it still conflicted after that; answered with 409.
    """
    _check(retries)

    def decorate(view: Callable[P, ResponseReturnValue]) -> Callable[P, Response]:
        @wraps(view)
        def run(*args: P.args, **kwargs: P.kwargs) -> Response:
            def answer() -> Response:
                return current_app.make_response(current_app.ensure_sync(view)(*args, **kwargs))

            return transact(answer, retries)

        return run

    return decorate


def _check(retries: int) -> None:
    if retries < 0:
        raise ValueError(f"retries is {retries}: use 0 or more")


def _committed(unit: UnitOfWork, function: Callable[[], T], retries: int) -> T:
    commit(unit)
    for left in range(retries, -1, -1):
        unit.begin_transaction()
        try:
            result = function()
            commit(unit)
        except Conflict:
            unit.roll_back()
            if not left:
                raise
        except BaseException:
            unit.roll_back()
            raise
        else:
            return result
        finally:
            unit.end_transaction()
    raise AssertionError  # pragma: no cover (the last run returns or raises)
