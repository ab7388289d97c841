"""The Universal Scalability Law."""

import math

import pytest

from loadtest.report import usl


def test_a_law_is_recovered_from_its_throughputs() -> None:
    """A fit to a law's own throughputs returns that law."""
    law = usl.Law(alone=1000.0, contention=0.05, coherency=0.01)
    found = usl.fit([(n, law.throughput(n)) for n in (1, 2, 4, 8, 16)])
    assert found is not None
    assert found.alone == pytest.approx(1000.0)
    assert found.contention == pytest.approx(0.05)
    assert found.coherency == pytest.approx(0.01)
    assert found.peak == pytest.approx(math.sqrt(0.95 / 0.01))


def test_linear_scaling_has_no_peak() -> None:
    """Neither contention nor coherency, and noise does not make them negative."""
    found = usl.fit([(1, 100.0), (2, 203.0), (4, 405.0), (8, 811.0)])
    assert found is not None
    assert found.contention == 0
    assert found.coherency == 0
    assert found.peak == math.inf


def test_one_worker_does_the_most_if_every_other_costs_more() -> None:
    """A curve that only falls has its peak at its start; a busy machine produced one."""
    found = usl.fit([(1, 424.0), (2, 253.0), (4, 272.0)])
    assert found is not None
    assert found.throughput(1) > found.throughput(2) > found.throughput(4)
    assert found.peak == 1
    assert usl.Law(alone=100.0, contention=0.5, coherency=1.0).peak == 1
