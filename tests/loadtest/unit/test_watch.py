"""What is noted of a stack that is loaded."""

import pytest

from loadtest.harness.stack import Event
from loadtest.harness.watch import View, changes, untold

_SERVICES = {"app-1": 10, "app-2": 20, "nginx": 30, "valkey": 40}
_WORKERS = frozenset({"app-1/11", "app-1/12", "app-2/21"})
_BEFORE = View(_SERVICES, _WORKERS, "valkey")


def _view(workers: set[str], primary: str = "valkey", **services: int) -> View:
    named = {name.replace("_", "-"): pid for name, pid in services.items()}
    return View({**_SERVICES, **named}, frozenset(workers), primary)


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (_BEFORE, []),
        # A worker is killed; its master starts another one at once, or a moment later.
        (
            _view({"app-1/13", "app-1/12", "app-2/21"}),
            [("ended", "worker app-1/11", "app-1/13 began")],
        ),
        (_view({"app-1/12", "app-2/21"}), [("ended", "worker app-1/11", "")]),
        (_view({*_WORKERS, "app-1/13"}), []),
        # A replica is drained before it stops.
        (_view({"app-1/11", "app-1/12"}), [("ended", "all workers of app-2", "")]),
        # Of a replica that is restarted, all workers are others.
        (_view({"app-1/11", "app-1/12", "app-2/26"}, app_2=25), [("restarted", "app-2", "")]),
        (_view({*_WORKERS, "app-3/51"}, app_3=50), [("started", "app-3", "")]),
        (
            View({"app-1": 10, "nginx": 30, "valkey": 40}, _WORKERS - {"app-2/21"}, "valkey"),
            [("stopped", "app-2", "")],
        ),
        (_view({*_WORKERS}, valkey=41), [("restarted", "valkey", "")]),
        (_view({*_WORKERS}, "valkey-2"), [("failed over", "store to valkey-2", "from valkey")]),
        # Nobody knows it for a moment.
        (_view({*_WORKERS}, ""), []),
    ],
)
def test_a_change_is_noted(after: View, found: list[tuple[str, str, str]]) -> None:
    """With what it happened to; what follows from it is not noted again."""
    assert changes(_BEFORE, after) == found


def test_each_event_of_the_kit_explains_one_that_was_seen() -> None:
    """The last one before it, or just after; what happens again later is not the kit's."""
    told = [Event(20.0, "restarted", "app-1"), Event(60.0, "stopped", "nginx")]
    crash, restart, late, again = (
        Event(at, "restarted", "app-1", time="seen") for at in (5.0, 18.0, 31.0, 90.0)
    )
    other = Event(19.0, "restarted", "app-2", time="seen")
    assert untold([crash, restart, other, late, again], told) == [crash, other, late, again]
    seen_late = Event(25.0, "restarted", "app-1", time="seen")
    assert untold([seen_late, again], told) == [again]
    assert untold([], told) == []
