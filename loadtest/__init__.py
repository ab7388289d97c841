"""Visits: what a user of the load test does, and what each answer has to hold.

This is what a scenario imports; it runs inside Locust's processes. A scenario is a file with
:class:`Journey` classes; ``loadtest/scenarios/shoppers.py`` is the one for the shop.
"""

from runs.kinds import Kind

from visits.browser import Browser, How
from visits.expectation import Expectation
from visits.findings import Answer, Finding, Refused
from visits.journey import Journey, together
from visits.leases import leased

__all__ = [
    "Answer",
    "Browser",
    "Expectation",
    "Finding",
    "How",
    "Journey",
    "Kind",
    "Refused",
    "leased",
    "together",
]
