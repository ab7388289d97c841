"""Load tests that check every answer; and benchmarks of this library beside others.

This is what a scenario imports: a file with `Journey` classes, such as
`loadtest/scenarios/shoppers.py`. docs/loadtest.md shows how to write one.
"""

from loadtest.users.expectation import Expectation
from loadtest.users.findings import Answer, Failure, Finding, Refused
from loadtest.users.journey import Journey, together

__all__ = [
    "Answer",
    "Expectation",
    "Failure",
    "Finding",
    "Journey",
    "Refused",
    "together",
]
