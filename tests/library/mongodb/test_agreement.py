"""What the server's expressions do is what the client's rules say."""

import logging

import pytest

from tests.library.contract.fuzzing import Fuzzer, case_names, table
from tests.library.contract.test_agreement import agree
from tests.support.stores.mongodb import AtMongo


def test_mongodb_answers_as_memory_does(place: AtMongo) -> None:
    """Whatever was called before, with two sets of limits."""
    agree(place, examples=100)


def test_nothing_is_lost_or_doubled_in_mongodb(
    place: AtMongo, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever two to four requests of one browser do, in whatever order, each step is right."""
    caplog.set_level(logging.CRITICAL + 1, "unsticky")
    tally = Fuzzer(place).run([*case_names("mongodb", 60), *case_names("emptied", 30)])
    assert not tally.violations, table(tally)
