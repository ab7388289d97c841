"""One run: ask the target, load it, follow the samples, judge, and keep everything in a folder."""

import csv
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runs import balance, gate, knee, surroundings, target
from runs.containers import Containers
from runs.errors import RunError
from runs.gate import Profile, Verdict, Word
from runs.generator import Generator
from runs.kinds import CONTINUITY, Kind
from runs.measures import Measures
from runs.options import Options
from runs.plan import Plan
from runs.samples import Follower, Found
from runs.stack import Meter, Stack, store_calls, tree
from runs.target import Target

_LOOK = 0.5
# Locust needs a second or two; a machine under load some more.
_START_SECONDS = 30.0
_END_SECONDS = 20.0
_KEPT = 200


@dataclass(frozen=True)
class Result:
    """A run that was made.

    Attributes:
        verdict: of the gate.
        folder: with ``run.json`` and the raw data.
        document: what ``run.json`` holds.
    """

    verdict: Verdict
    folder: Path
    document: dict[str, Any]


class Run:
    """A run in the making.

    Args:
        options: what is wanted.
        say: prints a line.
        progress: is told how far it is: seconds, good requests a second, p95 in ms, findings.
    """

    def __init__(
        self,
        options: Options,
        say: Callable[[str], None],
        progress: Callable[[float, float, float, int, int], None] = lambda *_: None,
    ) -> None:
        self._options, self._say, self._progress = options, say, progress
        self._measures = Measures()
        self._meter = Meter()
        self._interrupted = False

    def make(self) -> Result:
        """Make the run.

        Raises:
            RunError: it could not be made.
        """
        options = self._options
        profile = gate.load(options.slo, options.profile)
        stack = Stack.running(options.state_dir) or Containers.running(options.state_dir)
        if options.host is None and stack is None:
            raise RunError(
                f"Nothing is running in {options.state_dir}.",
                "Start the stack with `make up`, or name another target: HOST=http://…",
            )
        url = options.host or (stack.url if stack else "")
        if stack is not None and url != stack.url:
            stack = None
        found = target.ask(url, options.accounts)
        folder = _new_folder(options)
        plan = _plan(options, found, folder)
        began = time.time()
        workers = stack.workers() if stack else frozenset[str]()
        calls = store_calls(stack.store()) if stack else {}
        with Generator(plan, url) as generator:
            self._follow(generator, plan, stack)
        ended = time.time()
        follower = Follower(folder)
        follower.merge()
        if not self._measures.requests:
            raise generator.failure("Not one request was made.")
        if stack:
            calls = {
                name: count - calls.get(name, 0)
                for name, count in store_calls(stack.store()).items()
                if count > calls.get(name, 0)
            }
        self._judge_balance(profile, workers, stack.workers() if stack else frozenset())
        return self._result(profile, found, stack, plan, calls, (began, ended))

    def _follow(self, generator: Generator, plan: Plan, stack: Stack | None) -> None:
        """Read samples and meters until the load generator has ended, or the caller has enough."""
        follower = Follower(Path(plan.folder))
        begun = time.monotonic()
        announced = False
        try:
            while generator.is_running():
                time.sleep(_LOOK)
                announced = announced or self._announce(Path(plan.folder))
                self._look(follower, generator, stack)
                waited = time.monotonic() - begun
                if not self._measures.requests and waited > _START_SECONDS:
                    generator.stop()
                    raise generator.failure("The load generator did not begin.")
                if waited < plan.duration and generator.has_lost_a_process():
                    told = f"{waited:.0f} s of {plan.duration:.0f} s"
                    raise generator.failure(f"A process of the load generator ended after {told}.")
                if waited > plan.duration + _START_SECONDS + _END_SECONDS:
                    generator.stop()
        except KeyboardInterrupt:
            self._interrupted = True
            self._say("\nInterrupted: the report covers what there is so far.")
            generator.stop()
        lasted = time.monotonic() - begun
        self._look(follower, generator, stack)
        if not announced and not self._announce(Path(plan.folder)):
            raise generator.failure("The scenario could not be loaded.")
        if not self._interrupted and lasted < plan.duration:
            told = f"The load generator ended after {lasted:.0f} s of {plan.duration:.0f} s."
            raise generator.failure(told)

    def _look(self, follower: Follower, generator: Generator, stack: Stack | None) -> None:
        tiers = stack.processes() if stack else {}
        self._meter.look(time.time(), {**tiers, "load generator": tree(generator.pid)})
        self._measures.take(follower.requests(), follower.findings())
        if self._measures.requests:
            errors, found = self._measures.failed, len(self._measures.findings)
            elapsed = self._measures.last - self._measures.first
            self._progress(elapsed, *self._measures.recent(2), errors, found)

    def _announce(self, folder: Path) -> bool:
        """Say which journeys take part, once the load generator knows."""
        journeys = _journeys(folder)
        if journeys is None:
            return False
        for name, missing in journeys["skipped"].items():
            self._say(f"  skipped    {name}: the target does not offer {', '.join(missing)}")
        if journeys["unknown"]:
            raise RunError(
                f"JOURNEYS names {', '.join(journeys['unknown'])}: the scenario has none such.",
                f"It has {', '.join([*journeys['weights'], *journeys['skipped']])}.",
            )
        if not journeys["weights"] and not journeys["users"]:
            raise RunError(
                f"No journey of {self._options.scenario} can be made on this target"
                + _lacks(journeys["skipped"]),
                "Give HOST= a target with the shop's HTTP contract, or SCENARIO= a file with "
                "journeys for yours: docs/loadtest.md shows one.",
            )
        return True

    def _judge_balance(
        self, profile: Profile, before: frozenset[str], after: frozenset[str]
    ) -> None:
        self._expected = sorted(before & after)
        self._measures.findings.extend(
            Found(time.time(), Kind.UNBALANCED, "", "", detail, detail.split()[0], "", "")
            for detail in balance.unbalanced(self._measures.workers, before, after, profile.balance)
        )

    def _result(
        self,
        profile: Profile,
        found: Target,
        stack: Stack | None,
        plan: Plan,
        calls: dict[str, int],
        span: tuple[float, float],
    ) -> Result:
        measures, folder = self._measures, Path(plan.folder)
        endpoints, timeline = measures.endpoints(), measures.timeline()
        counts = Counter(finding.kind for finding in measures.findings)
        suspects = _suspects(measures)
        verdict = gate.judge(profile, endpoints, measures.throughput, counts, suspects)
        if self._interrupted and verdict.word is Word.PASS:
            late = f"interrupted after {measures.seconds:.0f} s of {plan.duration:.0f} s"
            verdict = Verdict(Word.ERROR, (late,), verdict.notes)
        document = {
            "time": datetime.fromtimestamp(span[0], UTC).isoformat(timespec="seconds"),
            "verdict": {**asdict(verdict), "line": verdict.line},
            "target": {**asdict(found), "is_ours": stack is not None},
            "plan": asdict(plan)
            | {"folder": folder.name, "scenario": Path(plan.scenario).name, "accounts": None},
            "profile": asdict(profile),
            "journeys": _journeys(folder),
            "interrupted": self._interrupted,
            "seconds": measures.seconds,
            "throughput": measures.throughput,
            "total": asdict(measures.total()) | {"error_share": measures.total().error_share},
            "endpoints": [asdict(e) | {"error_share": e.error_share} for e in endpoints],
            "timeline": timeline,
            "distribution": measures.distribution(),
            "workers": {
                name: measures.workers[name]
                for name in sorted({*measures.workers, *self._expected} if measures.workers else ())
            },
            "findings": {kind: counts[kind] for kind in Kind if counts[kind] or kind in CONTINUITY},
            "suspects": suspects,
            "found": [asdict(finding) for finding in measures.findings[:_KEPT]],
            "errors": [asdict(request) for request in measures.errors],
            "tiers": self._tiers(),
            "usage": self._usage(measures.first),
            "store": {name: n / measures.requests for name, n in calls.items()},
            "events": stack.events(measures.first, span[1]) if stack else [],
            "steps": knee.of_ramp(timeline, plan.duration, plan.rate or plan.users)
            if plan.shape == "ramp" else [],
            "drift": knee.drift(timeline) if plan.shape == "soak" else None,
            "surroundings": surroundings.describe(stack.environment if stack else None),
        }  # fmt: skip
        self._keep(folder, document)
        return Result(verdict, folder, document)

    def _tiers(self) -> dict[str, dict[str, float]]:
        """Return CPU per request in µs and memory in bytes of each tier."""
        return {
            tier: {"cpu_us": usage.cpu / self._measures.requests * 1e6, "memory": usage.memory}
            for tier, usage in self._meter.usage.items()
        }

    def _usage(self, first: float) -> dict[str, list[dict[str, float]]]:
        """Return by tier, at each reading: second, cores in use, bytes of memory."""
        rows: dict[str, list[dict[str, float]]] = defaultdict(list)
        before: dict[str, tuple[float, float]] = {}
        for at, tier, cpu, memory in self._meter.rows:
            if tier in before and at >= first:
                then, spent = before[tier]
                cores = (cpu - spent) / max(at - then, 1e-3)
                rows[tier].append({"second": at - first, "cores": cores, "memory": memory})
            before[tier] = (at, cpu)
        return rows

    def _keep(self, folder: Path, document: dict[str, Any]) -> None:
        (folder / "run.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        with (folder / "tiers.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("time", "tier", "cpu_seconds", "memory_bytes"))
            writer.writerows(self._meter.rows)


def _plan(options: Options, found: Target, folder: Path) -> Plan:
    return Plan(
        scenario=str(options.scenario),
        users=options.users,
        rate=options.rate,
        duration=options.duration,
        shape=options.shape,
        think=options.think,
        # More processes than users would leave some with nothing to do.
        processes=options.processes if options.rate else min(options.processes, options.users),
        weights=options.weights,
        offers=found.offers,
        accounts=options.accounts,
        folder=str(folder),
    )


def _new_folder(options: Options) -> Path:
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{options.profile}"
    folder = options.state_dir / "loadtest" / name
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise RunError(
            f"The report cannot be written: {folder}: {error.strerror}.",
            "Make that place writable, or choose another: STATE_DIR=/a/folder/of/yours",
        ) from error
    return folder


def _journeys(folder: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / "journeys.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found


def _suspects(measures: Measures) -> dict[str, str]:
    by_kind: dict[str, list[Found]] = defaultdict(list)
    for finding in measures.findings:
        by_kind[finding.kind].append(finding)
    workers: Sequence[str] = list(measures.workers)
    return {
        kind: name
        for kind, findings in by_kind.items()
        if kind != Kind.UNBALANCED and (name := balance.suspect(findings, workers))
    }


def _lacks(skipped: dict[str, list[str]]) -> str:
    missing = sorted({need for needs in skipped.values() for need in needs})
    return f": it does not offer {', '.join(missing)}." if missing else "."
