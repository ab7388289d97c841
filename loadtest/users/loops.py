"""The closed and the open loop, in which visits are made.

In a closed loop, each user makes one visit after the other, so that a slow target gets fewer
requests. In an open loop, visits begin at a rate whatever the target does (a Poisson process), and
the time by which a visit began too late counts as waiting.
"""

import random
import time
from collections.abc import Callable

import gevent
from gevent.pool import Group
from locust import User
from locust.exception import StopUser

from loadtest.settings import Plan
from loadtest.shapes import SHAPES
from loadtest.users.browser import Browser
from loadtest.users.findings import Failure, Finding, Refused
from loadtest.users.journey import Journey
from loadtest.users.scenario import Scenario

# Visits under way in one process of an open loop: beyond it, memory and sockets would give out.
_MOST_UNDER_WAY = 2_000
# Seconds after a visit that went wrong, at least.
_PAUSE = 0.1


class Visits:
    """Makes the visits of one Locust user, and reports each finding."""

    def __init__(self, plan: Plan, scenario: Scenario, report: Callable[[Finding], None]) -> None:
        self._plan, self._scenario, self._report = plan, scenario, report

    def make(self, user: User) -> None:
        """Make one visit or, in an open loop, begin visits until the run ends.

        Raises:
            StopUser: the open loop has ended.
        """
        if not self._plan.rate:
            self._visit(user, 0.0)
            return
        visits = Group()
        try:
            self._begin(user, visits)
            visits.join()
        finally:
            visits.kill()
        raise StopUser

    def _begin(self, user: User, visits: Group) -> None:
        began = due = time.perf_counter()
        while (share := (due - began) / self._plan.duration) < 1:
            rate = self._plan.rate * SHAPES[self._plan.shape](share) / self._plan.processes
            due += random.expovariate(rate)
            gevent.sleep(max(0.0, due - time.perf_counter()))
            if len(visits) < _MOST_UNDER_WAY:
                visits.spawn(self._visit, user, max(0.0, time.perf_counter() - due))
            else:
                detail = f"{_MOST_UNDER_WAY} visits are under way: this one was not begun"
                self._report(Finding(Failure.OVERLOAD, detail, journey="arrivals"))

    def _visit(self, user: User, late: float) -> None:
        journey = self._scenario.choose()
        browser = Browser(user, journey.cookie, late)
        try:
            found = self._found(journey(browser, self._plan))
        except Exception as error:  # noqa: BLE001 (a scenario's own mistake must be reported)
            found = Finding(Failure.BROKEN_SCENARIO, repr(error), browser.last)
            gevent.sleep(_PAUSE)
        finally:
            browser.close()
        if found:
            found.journey = journey.__name__
            self._report(found)

    def _found(self, journey: Journey) -> Finding | None:
        try:
            journey.visit()
        except (Refused, Finding) as ended:
            # Tabs share a jar: what one met after its cookie was replaced follows from that.
            cause = journey.browser.lost or ended
            if isinstance(cause, Finding):
                return journey.explain(cause)
            # Counted with its request. No user tries again a thousand times a second.
            gevent.sleep(max(self._plan.think, _PAUSE))
        return None
