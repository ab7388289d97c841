"""The settings of `make loadtest`."""

import pytest

from loadtest import settings
from loadtest.errors import LoadTestError
from tests.support.checkout import ROOT


def test_the_defaults_are_a_steady_closed_loop() -> None:
    """By default 50 users for a minute, judged by the default profile."""
    parsed = settings.parse({})
    plan = parsed.plan
    assert (plan.users, plan.rate, plan.duration, plan.shape) == (50, 0.0, 60.0, "steady")
    assert (parsed.profile, parsed.host) == ("default", None)
    assert plan.scenario.endswith("/shoppers.py")


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("DURATION", "90", "duration", 90.0),
        ("DURATION", "90s", "duration", 90.0),
        ("DURATION", "2m", "duration", 120.0),
        ("DURATION", "1.5h", "duration", 5400.0),
        ("SHAPE", "soak", "duration", 1800.0),
        ("JOURNEYS", "Bot=0, Shopper=5", "weights", {"Bot": 0, "Shopper": 5}),
    ],
)
def test_a_setting_is_parsed(name: str, text: str, field: str, value: object) -> None:
    """A duration has a unit, a soak takes half an hour, spaces or commas stand between weights."""
    assert getattr(settings.parse({name: text}).plan, field) == value


def test_a_relative_state_folder_is_the_checkouts() -> None:
    """The kit reads it in the same way, wherever the command was started."""
    assert settings.parse({"STATE_DIR": ".state"}).state_dir == ROOT / ".state"


@pytest.mark.parametrize(
    ("given", "problem", "hint"),
    [
        ({"USERS": "0"}, "USERS=0 is not a whole number from 1", "USERS=50"),
        ({"USERS": "many"}, "USERS=many is not a whole number", "USERS=50"),
        ({"RATE": "0"}, "RATE=0 is not a number from 0.01", "RATE=1"),
        ({"RATE": "5", "USERS": "5"}, "both USERS=5 and RATE=5", "give one"),
        ({"RATE": "5", "ARRIVALS": "even"}, "ARRIVALS=even is not one of poisson", "constant"),
        ({"ARRIVALS": "constant"}, "ARRIVALS=constant without RATE", "RATE=40"),
        ({"DURATION": "soon"}, "DURATION=soon is not a time", "DURATION=60s"),
        ({"DURATION": "0s"}, "DURATION=0s is not a time", "DURATION=60s"),
        ({"STOP": "soon"}, "STOP=soon is not early or never", "STOP=early"),
        ({"SHAPE": "round"}, "SHAPE=round is not one of steady, ramp", "SHAPE=ramp"),
        ({"HOST": "example"}, "HOST=example is not the address", "HOST=http://"),
        ({"HOST": "http://[::1"}, "is not the address", "HOST=http://"),
        ({"HOST": "http://127.0.0.1:port"}, "is not the address", "HOST=http://"),
        ({"HOST": "http://a b"}, "is not the address", "HOST=http://"),
        ({"HOST": "http://ada:ada@example"}, "is not the address", "HOST=http://"),
        ({"SLO": "/no/such"}, "SLO=/no/such is not a file", "give its path"),
        ({"SCENARIO": "/no/such"}, "SCENARIO=/no/such is not a file", "give its path"),
        ({"JOURNEYS": "Bot"}, "'Bot' is not a journey with a weight", "Shopper=5"),
    ],
)
def test_an_unusable_setting_is_named(given: dict[str, str], problem: str, hint: str) -> None:
    """The message has the wrong value and a right one."""
    with pytest.raises(LoadTestError) as caught:
        settings.parse(given)
    assert problem in caught.value.problem
    assert hint in caught.value.hint
