"""`make capacity`: the highest rate of arrivals that keeps the gate, and what breaks above it.

Each trial is a run of an open loop, judged by a profile. The folder of the search has
the raw data of all trials.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

from loadtest import settings
from loadtest.errors import LoadTestError
from loadtest.harness import gate
from loadtest.harness.course import surroundings
from loadtest.harness.gate import Judged, Profile, Word
from loadtest.harness.result import RunResult
from loadtest.harness.run import Run
from loadtest.harness.search import Found, search
from loadtest.harness.target import Target, recovers
from loadtest.report import charts, pages
from loadtest.report.charts import Line, Mark
from loadtest.settings import ANSWER_SECONDS, Plan, Settings

_PROFILE = "capacity"
_START = "2"
# Visits that are under way from the beginning, and a target that has just started, need a moment.
_WARM_UP_SECONDS = 2.0
# The share of STEP that is enough to see that the gate is kept or broken, far from the capacity.
_SHORT = 1 / 3
# A queue may be as long as the time after which all clients have given up.
_RECOVERY_SECONDS = ANSWER_SECONDS + 5
_GIVEN = {
    "USERS": "a closed loop waits for the target, and finds no rate of arrivals",
    "SHAPE": "each trial has a steady rate",
    "DURATION": "STEP= says how long each trial takes",
}


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One load at one rate.

    Attributes:
        rate: visits that began each second.
        seconds: how long, without the warm-up.
        throughput: good requests a second.
        p99: corrected, of all requests, in ms.
        uncorrected: the same, since they were sent.
        late: by how many ms the load generator itself began 99 of 100 visits too late, at most.
        broken: each limit that was not kept.
        costs: by route, the ms that its requests took in all, each as long as half of them at most.
        cpu: by tier, the ms of CPU for each request, as far as they are known.
        generator: why the load generator was the limit; empty if it was not.
        folder: the name of the run's folder.
    """

    rate: float
    is_kept: bool
    seconds: float
    throughput: float
    p99: float
    uncorrected: float
    late: float
    broken: Sequence[Judged]
    costs: Mapping[str, float]
    cpu: Mapping[str, float]
    generator: str
    folder: str

    @property
    def outcome(self) -> str:
        """Whether it kept the gate, and what broke first."""
        reasons = [each.reason for each in self.broken[:1]]
        if self.generator:
            reasons.append("the load generator was late")
        word = "kept" if self.is_kept else "broken"
        return f"{word}: {'; '.join(reasons)}" if reasons else word

    def __str__(self) -> str:
        return (
            f"  {pages.number(self.rate):>7} visits/s  {self.throughput:7,.0f} requests/s  "
            f"p99 {self.p99:8,.1f} ms  begun {self.late:5,.1f} ms late  {self.outcome}"
        )


@dataclass(frozen=True)
class Capacity:
    """A capacity that was found.

    Attributes:
        rate: visits a second.
        low: the lowest rate that was kept where the trials around it crossed the capacity.
        high: the highest rate that was broken there.
        throughput: good requests a second.
        breaks: what breaks above it.
        cpu: by tier, the ms of CPU for each request, as far as they are known.
    """

    rate: float
    low: float
    high: float
    throughput: float
    breaks: str
    cpu: Mapping[str, float]

    @property
    def costs(self) -> str:
        """What a request costs each tier, in words; empty if it is unknown."""
        return ", ".join(f"{tier} {cpu:.2f} ms" for tier, cpu in self.cpu.items())

    def __str__(self) -> str:
        return (
            f"{pages.number(self.rate)} visits a second "
            f"({pages.number(self.low)}–{pages.number(self.high)}), "
            f"{pages.number(self.throughput)} requests a second: above it, {self.breaks}"
        )


def make(say: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> Capacity:
    """Search, say how it goes, and write the page; return the capacity.

    Raises:
        LoadTestError: there is no capacity to tell; the trials so far are in the page all the same.
    """
    wanted = _settings(environ)
    # A rate that is searched has no minimum of requests.
    profile = replace(gate.load(wanted.slo, wanted.profile), throughput=0)
    folder = wanted.state_dir / "loadtest" / f"capacity-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    trials = _Trials(wanted, profile, folder, say)
    say(f"capacity: profile {profile.name}, {wanted.step:g} s a trial, {wanted.plan.arrivals}")
    found: Capacity | None = None
    try:
        found = conclude(search(trials.load, wanted.plan.rate), trials.made)
    except KeyboardInterrupt:
        kept = max((trial.rate for trial in trials.made if trial.is_kept), default=0.0)
        raise LoadTestError(
            f"interrupted after {len(trials.made)} trials, of which the highest that kept the gate "
            f"had {pages.number(kept)} visits a second",
            "let it end: it takes about twenty trials",
        ) from None
    finally:
        if found is not None:
            say(f"\n  a request  costs {found.costs} of CPU")
        if trials.made:
            say(f"\n  report     {_write(folder, trials.made, found, profile, trials.plan)}")
            say(f"  raw data   {folder}")
    return found


class _Trials:
    """Makes the trials.

    Attributes:
        made: those so far.
        plan: of the last of them.
    """

    def __init__(
        self, wanted: Settings, profile: Profile, folder: Path, say: Callable[[str], None]
    ) -> None:
        self._wanted, self._profile, self._folder, self._say = wanted, profile, folder, say
        self._target: Target | None = None
        self._limits: dict[str, float] = {}
        self.made: list[Trial] = []
        self.plan = wanted.plan

    def load(self, rate: float, *, is_short: bool = False) -> Trial:
        """Load the target at a rate.

        Raises:
            KeyboardInterrupt: Ctrl-C ended the trial.
            LoadTestError: it could not be made, or says nothing of the target.
        """
        self._recover()
        seconds = self._wanted.step * (_SHORT if is_short else 1)
        warm_up = min(_WARM_UP_SECONDS, self._wanted.step)
        plan = replace(self._wanted.plan, rate=rate, duration=warm_up + seconds)
        result, folder = Run(
            replace(self._wanted, plan=plan, stops_early=True),
            # Skipped journeys are the same each time.
            self._say if not self.made else lambda _: None,
            known=self._target,
            profile=self._profile,
            parent=self._folder,
            warm_up=warm_up,
        ).make()
        if result.interrupted:
            raise KeyboardInterrupt
        trial = _trial(rate, seconds, result, folder)
        if result.verdict.word is Word.ERROR and not trial.generator:
            raise LoadTestError("; ".join(result.verdict.reasons), "correct the scenario")
        if result.journeys.users:
            raise LoadTestError(
                f"the scenario has plain Locust users ({', '.join(result.journeys.users)}), which "
                "do not arrive at a rate",
                "make journeys of them: docs/loadtest.md shows one",
            )
        self.plan, self._target = result.plan, result.target
        self._limits |= _limits(result, self._profile)
        self.made.append(trial)
        self._say(str(trial))
        # Twice, as the search tries a rate again. Lower rates are for a slow target.
        if len(self.made) > 1 and all(each.generator for each in self.made):
            raise _limited(trial)
        return trial

    def _recover(self) -> None:
        """Wait after a broken trial, so that the next one does not find its queue.

        If no trial was kept yet, nothing says that the target can keep the limits at all.
        """
        if not any(each.is_kept for each in self.made) or self.made[-1].is_kept:
            return
        assert self._target is not None  # there was a trial
        if not recovers(self._target.url, self._limits, _RECOVERY_SECONDS):
            self._say(
                f"  {_RECOVERY_SECONDS:g} s later, single requests still take longer than their "
                "limits: the next trial may find the queue of this one"
            )


def _limits(result: RunResult, profile: Profile) -> dict[str, float]:
    """Return by path within how many ms each GET has to be answered; `/` if there was none."""
    names = [each.name for each in result.endpoints if each.name.startswith("GET /")]
    return {
        name.removeprefix("GET "): max(
            (limit for point, limit in profile.limits(name).items() if point != "errors"),
            default=math.inf,
        )
        for name in names or ["GET /"]
    }


def _settings(environ: Mapping[str, str]) -> Settings:
    for name, why in _GIVEN.items():
        if text := environ.get(name):
            raise LoadTestError(f"cannot use {name}={text}: {why}", f"leave {name} out")
    chosen = {"PROFILE": _PROFILE, "RATE": _START}
    return settings.parse({**chosen, **{name: text for name, text in environ.items() if text}})


def _trial(rate: float, seconds: float, result: RunResult, folder: Path) -> Trial:
    arrivals, sent = result.arrivals, result.total.uncorrected["p99"]
    return Trial(
        rate=rate,
        is_kept=result.verdict.is_kept,
        seconds=seconds,
        throughput=result.throughput,
        p99=result.total.percentiles["p99"],
        uncorrected=sent,
        late=arrivals.late_p99 if arrivals else 0.0,
        broken=[each for each in result.verdict.judged if not each.is_within],
        costs={each.name: each.requests * each.uncorrected["p50"] for each in result.endpoints},
        cpu={tier: use.cpu_us / 1000 for tier, use in result.tiers.items()},
        generator=arrivals.note if arrivals and arrivals.limits(sent) else "",
        folder=folder.name,
    )


def conclude(found: Found[Trial], made: Sequence[Trial]) -> Capacity:
    """Return the capacity that the crossings show, and what breaks in the trials above it.

    Raises:
        LoadTestError: the load generator was the limit.
    """
    broken = [trial for _, trial in found.crossings]
    late = [trial for trial in broken if trial.generator]
    if len(late) * 2 > len(broken):
        raise _limited(late[0])
    kept = [trial for trial, _ in found.crossings]
    a_visit = sum(trial.throughput for trial in kept) / sum(trial.rate for trial in kept)
    tiers = [tier for tier in kept[0].cpu if all(tier in trial.cpu for trial in kept)]
    cpu = {tier: fmean(trial.cpu[tier] for trial in kept) for tier in tiers}
    breaks = _breaks(made, found)
    return Capacity(found.rate, found.low, found.high, found.rate * a_visit, breaks, cpu)


def _limited(trial: Trial) -> LoadTestError:
    return LoadTestError(
        f"at {pages.number(trial.rate)} visits a second {trial.generator}",
        "load it from a second machine (HOST=), or with more PROCESSES if there are more cores",
    )


def _breaks(made: Sequence[Trial], found: Found[Trial]) -> str:
    """Return what breaks, of the route that breaks first.

    Above the capacity requests queue, and those of most routes break together. The first is the
    one whose requests take the most time in all where there is no queue yet: it fills the queue.
    Far above the capacity everything breaks, so that only the crossings count.
    """
    calm = [trial for trial in made if trial.is_kept and trial.rate <= found.rate / 2]
    costs = max(calm or [made[0]], key=lambda trial: trial.rate).costs
    above = [broken for _, broken in found.crossings if not broken.generator]
    judged = [each for broken in above for each in broken.broken]
    for route in sorted(costs, key=lambda name: -costs[name]):
        for each in judged:
            # A limit of a route is named `p99 of GET /`.
            if each.name.partition(" of ")[2] == route:
                return each.reason
    return judged[0].reason


def _write(
    folder: Path, made: Sequence[Trial], found: Capacity | None, profile: Profile, plan: Plan
) -> Path:
    """Keep the table of the trials, and return the page beside it."""
    on = surroundings(None)
    document = {
        "capacity": asdict(found) if found else None,
        "profile": asdict(profile),
        "surroundings": asdict(on),
        "trials": [asdict(trial) for trial in made],
    }
    (folder / "capacity.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    ordered = sorted(made, key=lambda trial: trial.rate)
    limit = profile.limits("*").get("p99")
    chart = charts.lines(
        [
            Line("p99 corrected", "c2", [(trial.rate, trial.p99) for trial in ordered]),
            Line("p99 uncorrected", "c4", [(trial.rate, trial.uncorrected) for trial in ordered]),
        ],
        title="p99 of all requests against visits a second",
        x_unit="visits a second",
        marks=[Mark(found.rate, "capacity")] if found else (),
        limit=(limit, f"p99 limit {limit:g} ms") if limit else None,
    )
    return pages.write(
        folder / "capacity.html",
        "capacity.html",
        found=found,
        trials=made,
        profile=profile,
        plan=plan,
        chart=chart,
        machine=on.machine,
    )
