"""CPU and memory of the tiers, while their processes come and go."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import psutil


@dataclass(frozen=True)
class Use:
    """What a tier used in a run: µs of CPU for each request, and the most bytes of memory."""

    cpu_us: float
    memory: float


@dataclass(frozen=True)
class Reading:
    """A tier at one moment: seconds of the run, cores in use, bytes of memory."""

    second: float
    cores: float
    memory: float


@dataclass
class Meter:
    """Adds up the CPU time of the tiers.

    Attributes:
        rows: the readings, as (seconds since the epoch, tier, CPU seconds so far, bytes).
    """

    rows: list[tuple[float, str, float, int]] = field(default_factory=list)
    _cpu: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _most: dict[str, int] = field(default_factory=dict)
    _before: dict[tuple[int, float], float] = field(default_factory=dict)

    def read(self, at: float, tiers: Mapping[str, Iterable[psutil.Process]]) -> None:
        """Take a reading. A process counts from the first reading that it is in."""
        for tier, processes in tiers.items():
            memory = 0
            for process in processes:
                try:
                    with process.oneshot():
                        times, key = process.cpu_times(), (process.pid, process.create_time())
                        memory += process.memory_info().rss
                except psutil.Error:
                    continue
                spent = times.user + times.system
                self._cpu[tier] += spent - self._before.get(key, spent)
                self._before[key] = spent
            self._most[tier] = max(memory, self._most.get(tier, 0))
            self.rows.append((at, tier, self._cpu[tier], memory))

    def uses(self, requests: int) -> dict[str, Use]:
        """Return what each tier used, over so many requests."""
        return {
            tier: Use(self._cpu[tier] / requests * 1e6, most) for tier, most in self._most.items()
        }

    def timeline(self, first: float) -> dict[str, list[Reading]]:
        """Return each tier's readings since a moment (seconds since the epoch)."""
        readings: dict[str, list[Reading]] = defaultdict(list)
        before: dict[str, tuple[float, float]] = {}
        for at, tier, cpu, memory in self.rows:
            if tier in before and at >= first:
                then, spent = before[tier]
                cores = (cpu - spent) / max(at - then, 1e-3)
                readings[tier].append(Reading(at - first, cores, memory))
            before[tier] = (at, cpu)
        return dict(readings)
