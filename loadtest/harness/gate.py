"""The gate: compares a run with a profile of service level objectives."""

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from loadtest.errors import LoadTestError
from loadtest.harness.figures import Endpoint
from loadtest.users.findings import CONTINUITY, Failure

_GLOBAL = ("continuity_failures", "balance", "throughput")
_LATENCIES = ("p50", "p95", "p99")
_LIMITS = (*_LATENCIES, "errors")
_FORM = "loadtest/slo.toml explains the form"


class Word(StrEnum):
    """How a run ended."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"

    @property
    def exit_code(self) -> int:
        """What the command exits with."""
        return list(Word).index(self)


@dataclass(frozen=True)
class Verdict:
    """The result of the gate.

    Attributes:
        word: pass, fail or error.
        reasons: what failed, and by how much; or why there is no verdict.
        notes: what was not judged.
    """

    word: Word
    reasons: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def line(self) -> str:
        """The last line of the command."""
        return f"VERDICT {self.word}" + (f": {'; '.join(self.reasons)}" if self.reasons else "")


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
) -> Verdict:
    """Compare a run with a profile.

    The throughput is good requests a second. By kind, `findings` counts them, and `suspects` has
    the worker or replica that all of them involve.
    """
    if broken := findings.get(Failure.BROKEN_SCENARIO, 0):
        return Verdict(Word.ERROR, (f"the scenario's own code failed {broken} times",))
    reasons = _of_findings(profile, Counter(findings), suspects)
    if throughput < profile.throughput:
        reasons.append(
            f"throughput {throughput:,.1f} requests/s, {profile.throughput - throughput:,.1f} "
            f"below {profile.throughput:,.0f}"
        )
    for endpoint in endpoints:
        reasons += _of_endpoint(endpoint, profile.limits(endpoint.name))
    unmet = set(profile.requests) - {"*"} - {endpoint.name for endpoint in endpoints}
    notes = [f"{name} has limits and was not requested" for name in sorted(unmet)]
    return Verdict(Word.FAIL if reasons else Word.PASS, reasons, notes)


def _of_findings(
    profile: Profile, findings: Counter[str], suspects: Mapping[str, str]
) -> list[str]:
    def described(kind: Failure) -> str:
        common = f", all with {suspects[kind]}" if suspects.get(kind) else ""
        return f"{kind} {findings[kind]} times{common}"

    reasons = []
    kinds = [kind for kind in CONTINUITY if findings[kind]]
    allowed = profile.continuity_failures
    if sum(findings[kind] for kind in kinds) > allowed:
        reasons += [f"{described(kind)} ({allowed:.0f} allowed)" for kind in kinds]
    others = [kind for kind in (Failure.WRONG_ANSWER, Failure.OVERLOAD) if findings[kind]]
    return reasons + [f"{described(kind)} (0 allowed)" for kind in others]


def _of_endpoint(endpoint: Endpoint, limits: Mapping[str, float]) -> list[str]:
    reasons = []
    for point in _LATENCIES:
        limit = limits.get(point)
        if limit is not None and (found := endpoint.percentiles[point]) > limit:
            reasons.append(
                f"{point} of {endpoint.name} {found:.4g} ms, {found - limit:.4g} above {limit:g}"
            )
    allowed = limits.get("errors")
    if allowed is not None and endpoint.error_share > allowed:
        reasons.append(
            f"errors of {endpoint.name} {endpoint.error_share:.2%} "
            f"({endpoint.errors} of {endpoint.requests}), {allowed:.2%} allowed"
        )
    return reasons


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
