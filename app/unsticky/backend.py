"""What every session of an application shares: policy, key ring, store, counters, events."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

from .cookie import KeyRing, Reference
from .policy import Policy
from .stores.contract import Store


@dataclass(slots=True)
class Counters:
    """What this process has done since it started, as plain numbers. Never an id, never a name."""

    reads: int = 0
    commits: int = 0
    operations: int = 0
    created: int = 0
    merges: int = 0
    conflicts: int = 0
    overwritten: int = 0
    reruns: int = 0
    revivals_prevented: int = 0
    unknown_ids: int = 0
    quarantined: int = 0
    store_errors: int = 0
    store_seconds: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """Return all counters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Emit(Protocol):
    """Tells the world of a session's life: signals and the audit log."""

    def __call__(self, event: str, reference: Reference, request_id: str, **detail: object) -> None:
        """Announce `event` of the session at `reference`."""


@dataclass(slots=True)
class Backend:
    """See the module. The store may be replaced, by a test, before the first request."""

    policy: Policy
    ring: KeyRing
    store: Store
    counters: Counters
    emit: Emit
