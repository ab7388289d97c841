"""One run: ask the target, load it, follow the samples, and keep everything in a folder."""

import csv
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from loadtest.errors import LoadTestError
from loadtest.harness import balance, gate, target
from loadtest.harness.containers import Containers
from loadtest.harness.course import Course
from loadtest.harness.figures import Figures
from loadtest.harness.gate import Profile
from loadtest.harness.generator import Generator
from loadtest.harness.meter import Meter
from loadtest.harness.result import GENERATOR, RunResult
from loadtest.harness.stack import Stack
from loadtest.harness.target import Target
from loadtest.harness.watch import Watch
from loadtest.processes import family
from loadtest.settings import ANSWER_SECONDS, Plan, Settings
from loadtest.users.findings import Failure, Finding
from loadtest.users.samples import Follower
from loadtest.users.scenario import Journeys

_PERIOD = 0.5
# Locust needs a second or two; a machine under load some more.
_START_SECONDS = 30.0
# The last request, and some time to write.
_END_SECONDS = ANSWER_SECONDS + 20


class Run:
    """A run.

    Args:
        settings: what it does. If the plan says what the target offers, it is not asked.
        known: the target, if it was asked before.
        say: prints a line.
        progress: receives seconds, good requests a second, p95 in ms, errors, findings.
        is_enough: whether the run may end before its time.
        profile: its limits, in place of those that the settings name.
        parent: where its folder is made, by default `loadtest` in the state folder.
        warm_up: seconds at the beginning that do not count.
    """

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None],
        progress: Callable[[float, float, float, int, int], None] = lambda *_: None,
        is_enough: Callable[[Figures], bool] = lambda _: False,
        *,
        known: Target | None = None,
        profile: gate.Profile | None = None,
        parent: Path | None = None,
        warm_up: float = 0.0,
    ) -> None:
        self._settings, self._say, self._progress = settings, say, progress
        self._is_enough = is_enough
        self._known, self._profile = known, profile
        self._parent = parent or settings.state_dir / "loadtest"
        plan = settings.plan
        self._figures = Figures(warm_up, plan.duration - warm_up if plan.rate else math.inf)
        self._meter = Meter()
        self._interrupted = self._is_lost = self._is_behind = False
        self._login = ""

    def make(self) -> tuple[RunResult, Path]:
        """Make the run; return its result, and the folder with `run.json` and the raw data.

        Raises:
            KeyboardInterrupt: Ctrl-C ended it before any request was made.
            LoadTestError: it could not be made.
        """
        settings = self._settings
        # Before the load: a wrong profile is found at once.
        profile = self._profile or gate.load(settings.slo, settings.profile)
        stack, url = self._located()
        plan = settings.plan
        found = self._known
        if found is None and plan.offers:
            found = Target(url, plan.offers, tells_workers=False)
        found = replace(found or target.ask(url, plan.accounts), is_ours=stack is not None)
        self._login = found.login
        folder = _new_folder(self._parent, profile.name)
        plan = replace(plan, offers=found.offers, folder=str(folder))
        watch = Watch(stack)
        with Generator(plan, url) as generator:
            self._follow(generator, plan, watch, profile)
        watch.look()
        calls, ended = watch.store_calls(), time.time()
        Follower(folder).merge()
        if not self._figures.requests:
            if self._is_behind:
                raise LoadTestError(self._figures.arrivals().note, "or give a lower RATE")
            raise generator.failure("no request was made")
        self._figures.findings.extend(
            Finding(Failure.UNBALANCED, detail, time=ended, served_by=detail.split()[0])
            for detail in balance.unbalanced(
                self._figures.workers, watch.first.workers, watch.last.workers, profile.balance
            )
        )
        journeys = _journeys(plan)
        assert journeys is not None  # they were announced
        result = Course(
            plan=plan,
            profile=profile,
            target=found,
            journeys=journeys,
            figures=self._figures,
            meter=self._meter,
            watch=watch,
            calls=calls,
            interrupted=self._interrupted,
            is_lost=self._is_lost,
            is_behind=self._is_behind,
        ).result()
        (folder / "run.json").write_text(result.to_json(), encoding="utf-8")
        with (folder / "tiers.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("time", "tier", "cpu_seconds", "memory_bytes"))
            writer.writerows(self._meter.rows)
        return result, folder

    def _located(self) -> tuple[Stack | None, str]:
        """Return our stack, if it is the target, and the target's address."""
        state_dir, host = self._settings.state_dir, self._settings.host
        stack = Stack.running(state_dir) or Containers.running(state_dir)
        if stack is not None and host in {None, stack.url}:
            return stack, stack.url
        if host is None:
            raise LoadTestError(
                f"nothing is running in {state_dir}",
                "start the stack with `make up`, or name another target: HOST=http://…",
            )
        return None, host

    def _follow(self, generator: Generator, plan: Plan, watch: Watch, profile: Profile) -> None:
        """Read samples and meters until the load generator has ended, or Ctrl-C ends it."""
        follower = Follower(Path(plan.folder))
        begun = time.monotonic()
        announced = is_early = False
        try:
            while generator.is_running():
                time.sleep(_PERIOD)
                announced = announced or self._announce(plan)
                self._look(follower, generator, watch)
                waited = time.monotonic() - begun
                if not self._figures.requests and waited > _START_SECONDS + ANSWER_SECONDS:
                    generator.stop()
                    raise generator.failure("the load generator did not begin")
                if waited < plan.duration and generator.has_lost_a_process():
                    raise generator.failure(
                        f"a process of the load generator ended after {waited:.0f} s of "
                        f"{plan.duration:.0f} s"
                    )
                if waited > plan.duration + _START_SECONDS + _END_SECONDS:
                    generator.stop()
                self._is_lost = self._settings.stops_early and gate.is_lost(profile, self._figures)
                self._is_behind = bool(plan.rate) and self._figures.is_behind()
                is_over = self._is_lost or self._is_behind or self._is_enough(self._figures)
                if is_early := is_early or is_over:
                    generator.stop()
        except KeyboardInterrupt:
            self._interrupted = True
            self._say("\nInterrupted: the report covers what there is so far.")
            generator.stop()
        lasted = time.monotonic() - begun
        self._look(follower, generator, watch)
        if not self._figures.requests and self._interrupted:
            raise KeyboardInterrupt
        if not announced and not self._announce(plan):
            raise generator.failure("cannot load the scenario")
        if not self._interrupted and not is_early and lasted < plan.duration:
            raise generator.failure(
                f"the load generator ended after {lasted:.0f} s of {plan.duration:.0f} s"
            )

    def _look(self, follower: Follower, generator: Generator, watch: Watch) -> None:
        tiers = watch.stack.processes() if watch.stack else {}
        watch.look()
        self._meter.read(time.time(), {**tiers, GENERATOR: family(generator.pid, recursive=True)})
        figures = self._figures
        figures.take(follower.requests(), follower.findings(), follower.arrivals())
        if figures.requests:
            elapsed = figures.last - figures.first
            self._progress(elapsed, *figures.recent(2), figures.failed, len(figures.findings))

    def _announce(self, plan: Plan) -> bool:
        """Say which journeys take part, once the load generator knows; return whether it does."""
        journeys = _journeys(plan)
        if journeys is None:
            return False
        for name, missing in journeys.skipped.items():
            why = f" ({self._login})" if self._login and "accounts" in missing else ""
            self._say(f"  skipped    {name}: the target does not offer {', '.join(missing)}{why}")
        if journeys.unknown:
            raise LoadTestError(
                f"JOURNEYS={' '.join(journeys.unknown)}: the scenario has no such journey",
                f"it has {', '.join([*journeys.weights, *journeys.skipped])}",
            )
        if not journeys.weights and not journeys.users:
            missing = sorted({need for needs in journeys.skipped.values() for need in needs})
            lacks = f": it does not offer {', '.join(missing)}" if missing else ""
            raise LoadTestError(
                f"no journey of {plan.scenario} can be made on this target{lacks}",
                "give a target with the shop's HTTP contract as HOST=, or a file with journeys for "
                "your target as SCENARIO=: docs/loadtest.md shows one",
            )
        return True


def _new_folder(parent: Path, profile: str) -> Path:
    folder = parent / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{profile}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise LoadTestError(
            f"cannot write the report: {folder}: {error.strerror}",
            "make that folder writable, or choose another: STATE_DIR=/a/folder/of/yours",
        ) from error
    return folder


def _journeys(plan: Plan) -> Journeys | None:
    try:
        text = (Path(plan.folder) / "journeys.json").read_text(encoding="utf-8")
        return Journeys(**json.loads(text))
    except (FileNotFoundError, ValueError):
        return None
