"""What a search concludes from its trials."""

from dataclasses import replace

import pytest

from loadtest.errors import LoadTestError
from loadtest.harness.search import Found
from loadtest.harness.verdict import Judged, Word
from loadtest.report.capacity import Trial, conclude

_KEPT = Trial(
    rate=20.0,
    is_kept=True,
    seconds=15.0,
    throughput=100.0,
    p99=90.0,
    uncorrected=80.0,
    late=1.5,
    broken=(),
    costs={"GET /": 900.0, "POST /add": 5000.0, "POST /pay": 800.0},
    cpu={"app": 0.5, "store": 0.1},
    generator="",
    folder="f",
)


def _judged(name: str, value: float, unit: str = "ms") -> Judged:
    return Judged(
        name=name,
        unit=unit,
        value=value,
        interval=(value, value),
        limit=250,
        word=Word.FAIL,
        reason=f"{name} {value:g} {unit}",
    )


_BROKEN = replace(
    _KEPT,
    rate=21.0,
    is_kept=False,
    broken=(_judged("p99 of GET /", 300), _judged("p99 of POST /pay", 290)),
)
_CALM = replace(_KEPT, rate=8.0, costs={**_KEPT.costs, "POST /pay": 990.0})


def test_the_capacity_is_what_the_crossings_kept() -> None:
    """Its requests a second are those of these rates, and its spread has both sides."""
    other = replace(_KEPT, rate=5.0, throughput=25.0, cpu={"app": 0.7})
    crossings = [(_KEPT, _BROKEN), (other, _BROKEN)]
    found = conclude(Found(crossings), [_CALM, _KEPT, _BROKEN])
    assert str(found).startswith("10 visits a second (5–21), 50 requests a second: above it, ")
    # A tier that was not seen in each trial has no figure.
    assert found.costs == "app 0.60 ms"


def test_the_dearest_route_that_broke_is_named() -> None:
    """Where nothing queues yet, its requests take the most time; a route that held is not named."""
    found = conclude(Found([(_KEPT, _BROKEN)]), [_CALM, _KEPT, _BROKEN])
    assert found.breaks == "p99 of POST /pay 290 ms"


def test_far_above_the_capacity_nothing_is_named() -> None:
    """While the rate doubles, it may overshoot, and then everything breaks, also what held."""
    far = replace(_BROKEN, rate=160.0, broken=(_judged("p99 of POST /add", 9_000),))
    found = conclude(Found([(_KEPT, _BROKEN)]), [_CALM, far, _KEPT, _BROKEN])
    assert found.breaks == "p99 of POST /pay 290 ms"


def test_a_route_is_not_taken_for_another() -> None:
    """The name of one may begin with that of another."""
    longer = replace(_BROKEN, broken=(_judged("p99 of POST /pay /now", 280), *_BROKEN.broken))
    found = conclude(Found([(_KEPT, longer)]), [_CALM, _KEPT, longer])
    assert found.breaks == "p99 of POST /pay 290 ms"


def test_a_trial_says_what_broke_and_how_late_it_began() -> None:
    """Its line also says whether the load generator was the limit."""
    assert str(_KEPT).endswith("p99     90.0 ms  begun   1.5 ms late  kept")
    late = replace(_BROKEN, generator="the load generator was the limit, not the target: …")
    assert str(late).endswith("  broken: p99 of GET / 300 ms; the load generator was late")


def test_what_is_no_route_is_named_as_it_is() -> None:
    """A lost update, for example."""
    lost = replace(_BROKEN, broken=(_judged("lost update", 1, "findings"),))
    assert conclude(Found([(_KEPT, lost)]), [_KEPT, lost]).breaks == "lost update 1 findings"


def test_no_capacity_is_claimed_if_the_load_generator_was_the_limit() -> None:
    """If it was at most of the crossings; the hint is another machine."""
    late = replace(_BROKEN, generator="the load generator was the limit, not the target: …")
    with pytest.raises(LoadTestError, match=r"(?s)at 21 visits a second the load gener.*HOST="):
        conclude(Found([(_KEPT, late), (_KEPT, late), (_KEPT, _BROKEN)]), [_KEPT, late])
    few = Found([(_KEPT, late), (_KEPT, _BROKEN), (_KEPT, _BROKEN)])
    assert conclude(few, [_KEPT, late, _BROKEN]).high == 21.0
