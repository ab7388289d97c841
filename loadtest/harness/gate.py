"""The gate: compares a run with the limits of a profile."""

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtest.errors import LoadTestError
from loadtest.harness import intervals
from loadtest.harness.endpoint import Endpoint
from loadtest.harness.figures import Figures
from loadtest.harness.intervals import Interval
from loadtest.harness.verdict import Judged, Verdict, Word
from loadtest.users.findings import CONTINUITY, Failure

# The gate's own names, and those of what it says.
__all__ = ["Judged", "Profile", "Verdict", "Word", "is_lost", "judge", "load"]

_GLOBAL = ("continuity_failures", "balance", "throughput")
_LATENCIES = ("p50", "p95", "p99")
_LIMITS = (*_LATENCIES, "errors")
_FORM = "loadtest/slo.toml explains the form"


@dataclass(frozen=True)
class Profile:
    """The limits of one profile. Latencies are in ms, shares from 0 to 1."""

    name: str
    continuity_failures: float = 0
    balance: float = 1.0
    throughput: float = 0
    requests: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def limits(self, endpoint: str) -> Mapping[str, float]:
        """Return the limits for one kind of request."""
        return self.requests.get(endpoint, self.requests.get("*", {}))


def load(path: Path, name: str) -> Profile:
    """Read one profile.

    Raises:
        LoadTestError: the file cannot be read, or the profile does not exist or is wrong.
    """
    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LoadTestError(f"cannot read SLO={path}: {error}", "correct the file") from error
    if not isinstance(profiles.get(name), dict):
        raise LoadTestError(
            f"{path} has no profile {name!r}",
            f"give one of these as PROFILE=: {', '.join(profiles)}",
        )
    given: dict[str, Any] = dict(profiles[name])
    requests = given.pop("requests", {})
    if not isinstance(requests, dict):
        raise LoadTestError(f"{path}: {name}.requests is not a table", _FORM)
    for where, table, known in [
        (name, given, _GLOBAL),
        *((f"{name}.requests.{key!r}", limits, _LIMITS) for key, limits in requests.items()),
    ]:
        _check(path, where, table, known)
    return Profile(name=name, requests=requests, **given)


def judge(
    profile: Profile,
    endpoints: Sequence[Endpoint],
    throughput: float,
    findings: Mapping[str, int],
    suspects: Mapping[str, str],
    interval: Interval | None = None,
) -> Verdict:
    """Compare a run with a profile.

    A limit is undecided if another run may be on its other side. One that failed for certain counts
    more than any that is undecided. A percentile of too few requests counts as it was measured, and
    a note says so.

    Args:
        profile: the limits.
        endpoints: each kind of request.
        throughput: good requests a second.
        findings: how many there are, by kind.
        suspects: by kind, the worker or replica that all its findings involve.
        interval: of the throughput.
    """
    if broken := findings.get(Failure.BROKEN_SCENARIO, 0):
        return Verdict(Word.ERROR, (f"the scenario's own code failed {broken} times",))
    judged = _of_findings(profile, Counter(findings), suspects)
    if profile.throughput:
        judged.append(_of_throughput(profile, throughput, interval or (throughput, throughput)))
    for endpoint in endpoints:
        judged += _of_endpoint(endpoint, profile.limits(endpoint.name))
    reasons = {
        word: [each.reason for each in judged if each.word is word]
        for word in (Word.FAIL, Word.UNDECIDED)
    }
    word = next((word for word, found in reasons.items() if found), Word.PASS)
    unmet = set(profile.requests) - {"*"} - {endpoint.name for endpoint in endpoints}
    notes = [f"{name} has limits and was not requested" for name in sorted(unmet)]
    notes += _too_few(endpoints, {each.name for each in judged if each.word is Word.PASS})
    if word is Word.FAIL:
        notes += [f"undecided: {reason}" for reason in reasons[Word.UNDECIDED]]
    return Verdict(word, reasons.get(word, ()), notes, judged)


def is_lost(profile: Profile, figures: Figures) -> bool:
    """Whether a run that is not over has failed, and cannot pass any more.

    Only facts can tell: a finding, and an error where none is allowed. The percentiles of a target
    that has just started may still become good. Nobody knows how many requests follow: an arrival
    is a visit, which makes as many as it likes.

    Args:
        profile: the limits.
        figures: of the run so far.
    """
    counts = Counter[str](finding.kind for finding in figures.findings)
    facts = _of_findings(profile, counts, {})
    return (
        counts[Failure.BROKEN_SCENARIO] > 0
        or any(each.word is Word.FAIL for each in facts)
        or any(
            series.failed and profile.limits(name).get("errors") == 0
            for name, series in figures.series().items()
        )
    )


def _too_few(endpoints: Sequence[Endpoint], kept: set[str]) -> list[str]:
    notes = []
    for point in _LATENCIES:
        fewest = intervals.fewest(float(point[1:]))
        rare = [
            f"{endpoint.name} ({endpoint.requests})"
            for endpoint in endpoints
            if endpoint.requests < fewest and f"{point} of {endpoint.name}" in kept
        ]
        if rare:
            notes.append(f"too few requests to tell their {point} ({fewest}): {', '.join(rare)}")
    return notes


def _of_findings(
    profile: Profile, findings: Counter[str], suspects: Mapping[str, str]
) -> list[Judged]:
    allowed = profile.continuity_failures
    is_broken = sum(findings[kind] for kind in CONTINUITY) > allowed
    judged = []
    for kind in (*CONTINUITY, Failure.WRONG_ANSWER, Failure.OVERLOAD):
        count, limit = findings[kind], allowed if kind in CONTINUITY else 0.0
        common = f", all with {suspects[kind]}" if suspects.get(kind) else ""
        is_bad = count and (is_broken or kind not in CONTINUITY)
        word = Word.FAIL if is_bad else Word.PASS
        excess = f"{kind} {count} times{common} ({limit:.0f} allowed)"
        judged.append(_judged(kind, "findings", count, (count, count), limit, word, excess))
    return judged


def _of_throughput(profile: Profile, throughput: float, interval: Interval) -> Judged:
    limit = profile.throughput
    # Less is worse, so that all is compared upside down.
    word = _word(-throughput, (-interval[1], -interval[0]), -limit)
    excess = (
        f"throughput {throughput:,.1f} requests/s, {limit - throughput:,.1f} below {limit:,.0f}"
    )
    half = _half(throughput, interval)
    doubt = f"throughput {throughput:,.1f} ± {half:,.1f} requests/s, limit {limit:,.0f}"
    return _judged("throughput", "requests/s", throughput, interval, limit, word, excess, doubt)


def _of_endpoint(endpoint: Endpoint, limits: Mapping[str, float]) -> list[Judged]:
    judged = []
    for point in _LATENCIES:
        if (limit := limits.get(point)) is None:
            continue
        found, name = endpoint.percentiles[point], f"{point} of {endpoint.name}"
        interval = endpoint.intervals.get(point, (found, found))
        word = _word(found, interval, limit)
        excess = f"{name} {found:.4g} ms, {found - limit:.4g} above {limit:g}"
        doubt = f"{name} {found:.4g} ± {_shown(_half(found, interval))} ms, limit {limit:g}"
        judged.append(_judged(name, "ms", found, interval, limit, word, excess, doubt))
    if (limit := limits.get("errors")) is not None:
        judged.append(_of_errors(endpoint, limit))
    return judged


def _of_errors(endpoint: Endpoint, limit: float) -> Judged:
    share, name = endpoint.error_share, f"errors of {endpoint.name}"
    interval = endpoint.intervals.get("errors", (share, share))
    if not endpoint.errors:
        # There is no sign of one. To rule out 0.1 % takes 3,700 requests.
        word = Word.PASS
    else:
        word = _word(share, interval, limit) if limit else Word.FAIL
    counted = f"({endpoint.errors} of {endpoint.requests})"
    excess = f"{name} {share:.2%} {counted}, {limit:.2%} allowed"
    doubt = f"{name} {share:.2%} ± {_half(share, interval):.2%} {counted}, limit {limit:.2%}"
    return _judged(name, "share", share, interval, limit, word, excess, doubt)


def _judged(
    name: str,
    unit: str,
    value: float,
    interval: Interval,
    limit: float,
    word: Word,
    excess: str,
    doubt: str = "",
) -> Judged:
    """Return what the run says about a limit, with the reason that its word has."""
    reason = {Word.FAIL: excess, Word.UNDECIDED: f"{doubt}: run longer"}.get(word, "")
    return Judged(
        name=name,
        unit=unit,
        value=value,
        interval=interval,
        limit=limit,
        word=word,
        reason=reason,
    )


def _word(value: float, interval: Interval, limit: float) -> Word:
    """Return whether a value and its interval are below a limit, above it, or on both sides."""
    low, high = min(value, interval[0]), max(value, interval[1])
    if low <= limit < high:
        return Word.UNDECIDED
    return Word.FAIL if low > limit else Word.PASS


def _half(value: float, interval: Interval) -> float:
    """Return the greater distance of a value from the ends of its interval."""
    return max(value - interval[0], interval[1] - value)


def _shown(ms: float) -> str:
    return f"{ms:,.0f}" if ms >= 10 else f"{ms:.2g}"


def _check(path: Path, where: str, table: object, known: Sequence[str]) -> None:
    if not isinstance(table, dict):
        raise LoadTestError(f"{path}: {where} is not a table", _FORM)
    for key, value in table.items():
        if key not in known:
            raise LoadTestError(
                f"{path}: {where} has {key!r}, which is not a limit",
                f"the limits are {', '.join(known)}",
            )
        # Nothing is above or below nan: it would let everything pass.
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not value >= 0:
            raise LoadTestError(
                f"{path}: {where}.{key} is {value!r}, not a number from 0 up",
                "latencies are in ms, shares from 0 to 1",
            )
