"""A journey: what one kind of user does in one visit."""

import random
import uuid
from collections.abc import Callable
from typing import ClassVar, Unpack

import gevent
from gevent.pool import Group
from runs.kinds import Kind
from runs.plan import Plan

from visits.browser import Browser, How
from visits.findings import Answer, Finding


class Journey:
    """One visit. Subclass it with a :meth:`visit`, and it takes part.

    A visit starts without cookies. It ends at its first finding, since what it knows of the target
    no longer holds then.

    Attributes:
        weight: how often it is chosen, against the others. 0 leaves it out.
        needs: what the target has to offer for it: ``cart``, ``session``, ``accounts``,
            ``checkout``. A journey whose needs are not met is skipped, and the report says so.
        cookie: the name of the session's cookie, where it is an id that must stay the same. Leave
            it ``None`` if the cookie holds the session itself.
    """

    weight: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    cookie: ClassVar[str | None] = None

    def __init__(self, browser: Browser, plan: Plan) -> None:
        self.browser = browser
        self.plan = plan

    def visit(self) -> None:
        """Do what this user does.

        Raises:
            Finding: something is wrong.
            Refused: a request was not answered as it should be.
        """
        raise NotImplementedError

    def explain(self, finding: Finding) -> Finding:
        """Return what stands behind a finding, before it is reported; by default itself.

        Override it with a few more requests where one fault shows in the guise of another.
        """
        return finding

    def get(self, path: str, **how: Unpack[How]) -> Answer:
        """Send a GET; see :meth:`Browser.ask`."""
        return self.browser.ask("GET", path, **how)

    def post(self, path: str, **how: Unpack[How]) -> Answer:
        """Send a POST, with an ``Idempotency-Key`` of its own unless one is given."""
        how["headers"] = {"Idempotency-Key": str(uuid.uuid4()), **how.get("headers", {})}
        return self.browser.ask("POST", path, **how)

    def put(self, path: str, **how: Unpack[How]) -> Answer:
        """Send a PUT; see :meth:`Browser.ask`."""
        return self.browser.ask("PUT", path, **how)

    def delete(self, path: str, **how: Unpack[How]) -> Answer:
        """Send a DELETE; see :meth:`Browser.ask`."""
        return self.browser.ask("DELETE", path, **how)

    def hold(
        self, condition: object, kind: Kind | str, detail: str, answer: Answer | None = None
    ) -> None:
        """Go on if the condition holds.

        Args:
            condition: what has to be true.
            kind: what is wrong if it is not, such as ``lost update``.
            detail: what was found instead of what.
            answer: the one that shows it; by default the last one.

        Raises:
            Finding: it does not hold.
        """
        if not condition:
            raise Finding(Kind(kind), detail, answer or self.browser.last)

    def think(self) -> None:
        """Wait as a user does between two clicks: at random, ``THINK`` seconds on average."""
        if self.plan.think:
            gevent.sleep(random.expovariate(1 / self.plan.think))


def together(*tabs: Callable[[], None]) -> None:
    """Run the tabs of one browser at the same time, and wait for all of them.

    Raises:
        Exception: what the first tab that failed raised.
    """
    group = Group()
    try:
        greenlets = [group.spawn(tab) for tab in tabs]
        gevent.joinall(greenlets, raise_error=True)
    finally:
        group.kill()
