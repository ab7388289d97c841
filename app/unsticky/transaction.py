"""Read-modify-write: the view runs again on fresh state until nothing it read has changed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import current_app, session
from flask.typing import ResponseReturnValue
from flask.wrappers import Response

from .errors import Conflict
from .session import Session
from .unit_of_work import Unit

P = ParamSpec("P")


def transaction(
    *, retries: int = 5
) -> Callable[[Callable[P, ResponseReturnValue]], Callable[P, Response]]:
    """Decorate a view so that all it read still holds when its changes are written.

    Everything the view does to the session, also `incr`, `take`, `rotate`, `bind` and `destroy`, is
    written in one atomic step when it returns. If another request changed something that the view
    read, nothing is written and the view runs again on fresh state. It must therefore have no other
    effects, or only such as may happen twice. A view that raises changes nothing. A streamed body
    is not covered: it runs afterwards. A transaction called by another becomes part of it.

    Args:
        retries: how often the view may run again.

    Raises:
        Conflict: it still conflicted after that; answered with 409.
    """
    if retries < 0:
        message = f"retries is {retries}: use 0 or more"
        raise ValueError(message)

    def decorate(view: Callable[P, ResponseReturnValue]) -> Callable[P, Response]:
        @wraps(view)
        def run(*args: P.args, **kwargs: P.kwargs) -> Response:
            def answer() -> Response:
                return current_app.make_response(current_app.ensure_sync(view)(*args, **kwargs))

            unit = _session()._unit  # noqa: SLF001 (the library's own)
            # Inside another transaction it is a part of that, which runs again as a whole.
            return answer() if unit.in_transaction else _committed(unit, answer, retries)

        return run

    return decorate


def _session() -> Session:
    held = session._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 (werkzeug's documented way to the object behind a proxy)
    if not isinstance(held, Session):
        message = "@transaction needs Unsticky(app) to serve this application's sessions"
        raise TypeError(message)
    return held


def _committed(unit: Unit, answer: Callable[[], Response], retries: int) -> Response:
    unit.commit()  # what was changed before the view is no part of what may run again
    for attempt in range(retries + 1):
        unit.begin_transaction()
        try:
            response = answer()
            unit.commit()
        except Conflict:
            unit.roll_back()
            if attempt == retries:
                raise
        except BaseException:
            unit.roll_back()
            raise
        else:
            return response
        finally:
            unit.end_transaction()
    raise AssertionError  # pragma: no cover (the last attempt returns or raises)
