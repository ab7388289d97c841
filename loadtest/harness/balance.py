"""How evenly the workers served, and which of them is involved in all findings."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from loadtest.users.findings import Finding

# With fewer requests a worker, chance alone leaves one out, or gives it less than its share.
_LEAST_TO_APPEAR = 25
_LEAST_TO_SHARE = 250
# The greatest probability that all findings involve one worker by chance.
_CHANCE = 0.01


def unbalanced(
    served: Mapping[str, int], before: Collection[str], after: Collection[str], tolerance: float
) -> list[str]:
    """Return in words each worker that never appeared or whose share is off.

    Args:
        served: requests by `<replica>/<pid>`.
        before: the workers at the start; empty if unknown.
        after: the workers at the end. If they are others, replicas are compared instead.
        tolerance: the part of an even share by which a share may differ.
    """
    counts = Counter(served)
    for worker in before:
        counts.setdefault(worker, 0)
    if set(before) != set(after):
        counts = by_replica(counts)
        still = {replica_of(worker) for worker in before} & {replica_of(w) for w in after}
        counts = Counter({name: count for name, count in counts.items() if name in still})
    total = sum(counts.values())
    if len(counts) <= 1 or total < _LEAST_TO_APPEAR * len(counts):
        return []
    even = total / len(counts)
    found = []
    for name, count in sorted(counts.items()):
        if not count:
            found.append(f"{name} never appeared in {total} requests")
        elif even >= _LEAST_TO_SHARE and abs(count - even) > tolerance * even:
            found.append(f"{name} served {count / total:.0%} where {even / total:.0%} is even")
    return found


def suspect(findings: Sequence[Finding], workers: Iterable[str]) -> str:
    """Return the one worker, else the one replica, that all findings have in common; or nothing.

    A finding involves the worker that served its answer and the worker that issued its cookie. With
    few findings this may be chance: then the result is empty.
    """
    all_workers = set(workers)
    involved = [[name for name in (f.served_by, f.issuer) if name] for f in findings]
    for names, groups in (
        (all_workers, involved),
        ({replica_of(w) for w in all_workers}, [[replica_of(w) for w in g] for g in involved]),
    ):
        if len(names) <= 1 or not groups or not all(groups):
            continue
        common = set.intersection(*map(set, groups))
        chance = math.prod(1 - (1 - 1 / len(names)) ** len(group) for group in groups)
        if len(common) == 1 and chance < _CHANCE:
            return common.pop()
    return ""


def by_replica(served: Mapping[str, int]) -> Counter[str]:
    """Return the requests by replica."""
    counts: Counter[str] = Counter()
    for worker, count in served.items():
        counts[replica_of(worker)] += count
    return counts


def replica_of(worker: str) -> str:
    """Return the replica's name of `<replica>/<pid>`."""
    return worker.partition("/")[0]
