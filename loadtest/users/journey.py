"""A journey: what one kind of user does in one visit."""

import random
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Unpack

from loadtest.settings import Plan
from loadtest.users.findings import Answer, Failure, Finding, How

if TYPE_CHECKING:
    from loadtest.users.browser import Browser


class Journey:
    """One visit. A subclass with a `visit` takes part in the load test.

    A visit starts without cookies, and ends at its first finding.

    Attributes:
        weight: how often it is chosen, compared with the others; 0 leaves it out.
        needs: what the target has to offer: `cart`, `session`, `accounts`, `checkout`. A journey
            whose needs are not met is skipped, and the report says so.
        cookie: the name of the session's cookie, if it holds an id that must stay the same. Leave
            it `None` if the cookie holds the session itself.
    """

    weight: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    cookie: ClassVar[str | None] = None

    def __init__(self, browser: "Browser", plan: Plan) -> None:
        self.browser = browser
        self.plan = plan

    def visit(self) -> None:
        """Do what this user does.

        Raises:
            Finding: something is wrong.
            Refused: a request was not answered as expected.
        """
        raise NotImplementedError

    def explain(self, finding: Finding) -> Finding:
        """Return the cause of a finding before it is reported; by default the finding itself.

        Override it with a few more requests if one fault looks like another.
        """
        return finding

    def get(self, path: str, **how: Unpack[How]) -> Answer:
        """Send a GET; see `Browser.ask`."""
        return self.browser.ask("GET", path, **how)

    def post(self, path: str, **how: Unpack[How]) -> Answer:
        """Send a POST, with a new `Idempotency-Key` unless one is given."""
        how["headers"] = {"Idempotency-Key": str(uuid.uuid4()), **how.get("headers", {})}
        return self.browser.ask("POST", path, **how)

    def put(self, path: str, **how: Unpack[How]) -> Answer:
        """Send a PUT; see `Browser.ask`."""
        return self.browser.ask("PUT", path, **how)

    def delete(self, path: str, **how: Unpack[How]) -> Answer:
        """Send a DELETE; see `Browser.ask`."""
        return self.browser.ask("DELETE", path, **how)

    def check(
        self, condition: object, kind: Failure | str, detail: str, answer: Answer | None = None
    ) -> None:
        """Go on if the condition is true.

        Args:
            condition: what has to be true.
            kind: what is wrong if it is not, such as `lost update`.
            detail: what was found, and what was expected.
            answer: the one that shows it; by default the last one.

        Raises:
            Finding: the condition is false.
        """
        if not condition:
            raise Finding(Failure(kind), detail, answer or self.browser.last)

    hold = check
    """The old name, which the documentation showed until version 0.1."""

    def think(self) -> None:
        """Pause as a user does between two clicks: at random, `THINK` seconds on average.

        In an open loop, the pause begins when the last request was due, not with its answer.
        """
        if self.plan.think:
            self.browser.pause(random.expovariate(1 / self.plan.think))


def together(*tabs: Callable[[], None]) -> None:
    """Run the tabs of one browser at the same time, and wait for all of them.

    Raises:
        Exception: what the first tab that failed raised.
    """
    # Only here: a scenario's names are cheap to import, also where Locust is not installed.
    import gevent
    from gevent.pool import Group

    group = Group()
    try:
        greenlets = [group.spawn(tab) for tab in tabs]
        gevent.joinall(greenlets, raise_error=True)
    finally:
        group.kill()
