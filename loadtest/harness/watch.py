"""What happens to the stack while it is loaded, as far as it can be seen from outside.

The kit's own log names deployments. What else happens, such as a worker that is killed or a store
that fails over, shows in what runs from one look to the next.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from loadtest.harness.balance import replica_of
from loadtest.harness.stack import Event, Stack

# By so much at most an event is seen late: containers are looked at every five seconds.
_LATE_SECONDS = 10.0


@dataclass(frozen=True)
class View:
    """What runs at one moment.

    Attributes:
        services: the first process of each, by name.
        workers: each as `<replica>/<pid>`.
        primary: the server that the store's Sentinels name; empty if there are none.
    """

    services: Mapping[str, int] = field(default_factory=dict)
    workers: frozenset[str] = frozenset()
    primary: str = ""

    def of(self, replica: str) -> set[str]:
        """Return the workers of a replica."""
        return {worker for worker in self.workers if replica_of(worker) == replica}


class Watch:
    """Watches the stack of one run; without a stack, it sees nothing.

    Attributes:
        stack: what it watches.
        began: when, in seconds since the epoch.
        first: what ran then.
        last: what ran at the last look.
    """

    def __init__(self, stack: Stack | None) -> None:
        self.stack = stack
        self.began = time.time()
        self.first = self.last = self._seen()
        self._calls = stack.store_calls() if stack else {}
        self._events: list[tuple[float, str, str, str]] = []

    def look(self) -> None:
        """Note what has changed since the last time."""
        before, self.last = self.last, self._seen()
        now = time.time()
        self._events += [(now, *change) for change in changes(before, self.last)]

    def store_calls(self) -> dict[str, int]:
        """Return how often the store has run each command since the beginning."""
        calls = self.stack.store_calls() if self.stack else {}
        counts = {name: count - self._calls.get(name, 0) for name, count in calls.items()}
        return {name: count for name, count in counts.items() if count > 0}

    def events(self, since: float, until: float) -> list[Event]:
        """Return what happened between two times (seconds since the epoch), in order."""
        if self.stack is None:
            return []
        seen = [
            Event(at - since, kind, target, detail, datetime.fromtimestamp(at, UTC).isoformat())
            for at, kind, target, detail in self._events
            if since <= at <= until
        ]
        told = self.stack.events(since, until)
        return sorted([*told, *untold(seen, told)], key=lambda event: event.at)

    def _seen(self) -> View:
        stack = self.stack
        return View(stack.services(), stack.workers(), stack.primary()) if stack else View()


def untold(seen: Sequence[Event], told: Sequence[Event]) -> list[Event]:
    """Return the events that were seen and that the kit did not tell of; each list is in order.

    The kit tells of each once, after it has happened.
    """
    left = list(seen)
    for event in told:
        same = [
            other
            for other in left
            if (other.kind, other.target) == (event.kind, event.target)
            and other.at <= event.at + _LATE_SECONDS
        ]
        if same:
            left.remove(same[-1])
    return left


def changes(before: View, after: View) -> list[tuple[str, str, str]]:
    """Return what has changed, as the kind of change, what it happened to, and more about it."""
    found: list[tuple[str, str, str]] = []
    for name in sorted({*before.services, *after.services}):
        old, new = before.services.get(name), after.services.get(name)
        if old != new:
            kind = "started" if old is None else "stopped" if new is None else "restarted"
            found.append((kind, name, ""))
    # The workers of a replica that was restarted are others, of course.
    for name in sorted({*map(replica_of, before.workers)} - {name for _, name, _ in found}):
        was, now = before.of(name), after.of(name)
        if not now:
            found.append(("ended", f"all workers of {name}", ""))
            continue
        begun = f"{', '.join(sorted(now - was))} began" if now - was else ""
        found += [("ended", f"worker {worker}", begun) for worker in sorted(was - now)]
    if before.primary and after.primary and before.primary != after.primary:
        found.append(("failed over", f"store to {after.primary}", f"from {before.primary}"))
    return found
