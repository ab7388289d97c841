"""The closed and the open loop, in which visits are made.

In a closed loop, each user makes one visit after the other, so that a slow target gets fewer
requests. In an open loop, visits begin at a rate whatever the target answers, at random (a Poisson
process) or at equal distances, and the time by which a request begins too late counts as waiting.
"""

import random
import time
from collections.abc import Callable

import gevent
from gevent.event import Event
from gevent.pool import Group
from locust import User
from locust.exception import StopUser

from loadtest.settings import Plan
from loadtest.shapes import SHAPES
from loadtest.users.browser import Browser
from loadtest.users.findings import Failure, Finding, Refused
from loadtest.users.journey import Journey
from loadtest.users.pace import OpenPace, Over, Pace, Usual
from loadtest.users.samples import Arrival
from loadtest.users.scenario import Scenario

# Visits under way in one process of an open loop: beyond it, memory and sockets would give out.
_MOST_UNDER_WAY = 2_000
# Seconds after a visit that went wrong, at least.
_PAUSE = 0.1


class Visits:
    """Makes the visits of one Locust user.

    Args:
        report: gets each finding.
        arrived: gets each arrival of an open loop.
    """

    def __init__(
        self,
        plan: Plan,
        scenario: Scenario,
        report: Callable[[Finding], None],
        arrived: Callable[[Arrival], None],
    ) -> None:
        self._plan, self._scenario, self._report = plan, scenario, report
        self._arrived, self._over, self._usual = arrived, Event(), Usual()

    def make(self, user: User) -> None:
        """Make one visit or, in an open loop, begin visits until the run ends.

        At the end of an open loop, the requests that were sent still get their answers.

        Raises:
            StopUser: the open loop has ended.
        """
        if not self._plan.rate:
            self._visit(user, Pace())
            return
        visits = Group()
        try:
            self._begin(user, visits)
            self._over.set()
            visits.join()
        finally:
            visits.kill()
        raise StopUser

    def _begin(self, user: User, visits: Group) -> None:
        plan, is_constant = self._plan, self._plan.arrivals == "constant"
        began = due = time.perf_counter()
        end = began + plan.duration
        if is_constant:
            # The processes take turns.
            due += getattr(user.environment.runner, "worker_index", 0) / plan.rate
        while True:
            share = (due - began) / plan.duration
            rate = plan.rate * SHAPES[plan.shape](share) / plan.processes
            due += 1 / rate if is_constant else random.expovariate(rate)
            if due >= end:
                gevent.sleep(max(0.0, end - time.perf_counter()))
                return
            gevent.sleep(max(0.0, due - time.perf_counter()))
            is_dropped = len(visits) >= _MOST_UNDER_WAY
            late = max(0.0, time.perf_counter() - due)
            self._arrived(Arrival(time.time() - late, late * 1000, is_dropped))
            if not is_dropped:
                visits.spawn(self._visit, user, OpenPace(due, self._over, self._usual))
            else:
                detail = f"{_MOST_UNDER_WAY} visits are under way: this one was not begun"
                self._report(Finding(Failure.OVERLOAD, detail, journey="arrivals"))

    def _visit(self, user: User, pace: Pace) -> None:
        journey = self._scenario.choose()
        browser = Browser(user, journey.cookie, pace)
        try:
            found = self._found(journey(browser, self._plan))
        except Over:
            found = None
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
