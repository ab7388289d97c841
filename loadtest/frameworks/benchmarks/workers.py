"""The servers: worker classes, Pythons and HTTP parsers, and what each loses during a deployment.

CPU and throughput are from a closed loop, the p99 from requests that arrive at a fixed rate, and
the losses from the real kit, which deploys changed code under load. Of those that lose nothing, the
cheapest and the one with the shortest p99 are named in the end.
"""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from loadtest import machine
from loadtest.console import say
from loadtest.errors import LoadTestError
from loadtest.frameworks import interpreters, raw, variants
from loadtest.frameworks.benchmarks import deploys, report
from loadtest.frameworks.benchmarks.page import bound
from loadtest.frameworks.benchmarks.report import Raw, Report
from loadtest.frameworks.benchmarks.spread import ratio, ratios, spread
from loadtest.frameworks.benchmarks.table import ABSENT
from loadtest.frameworks.benchmarks.task import Task
from loadtest.frameworks.benchmarks.testbed import PROCESSES, under_load, worker_bytes
from loadtest.frameworks.interpreters import Interpreter
from loadtest.frameworks.variants import Variant

WORKER_CLASSES: Final = ("sync", "gthread", "gevent")
ROUNDS: Final = 6
RATE: Final = 400
_WARM_SECONDS = 2


@dataclass(frozen=True)
class Server:
    """One combination, and its figures in each round.

    Attributes:
        all_us: CPU of all tiers, µs for each request.
        p99_ms: of requests that arrive at a fixed rate.
        lost: requests that were lost in all its deployments, of `sent`; None if it could not be
            deployed.
    """

    title: str
    all_us: Sequence[float]
    p99_ms: Sequence[float]
    lost: int | None
    sent: int


def measure(task: Task) -> Path:
    """Measure all combinations that can run here, and return the file with the raw data.

    Its own options are `worker_classes`, `pythons`, `parsers` and `deploys` of each.

    Raises:
        LoadTestError: one fails, or there is none.
    """
    options, (peer,) = task.options, task.peers
    pythons, missing = interpreters.found(options["pythons"])
    left_out = {**task.skipped, **{f"Python {name}": why for name, why in missing.items()}}
    combined: dict[Variant, tuple[Interpreter, str]] = {}
    described = {}
    for worker_class, python, parser in itertools.product(
        options["worker_classes"], pythons, options["parsers"]
    ):
        title = f"{worker_class}, Python {python.version}, {parser} parser"
        say(f"preparing {title}")
        try:
            root = interpreters.environment(python, worker_class, parser)
        except LoadTestError as error:
            left_out[title] = error.problem
            continue
        variant = variants.of(
            peer,
            f"{worker_class}-{python.version}-{parser.lower()}",
            title=title,
            worker_class=worker_class,
            python=str(root / "bin" / "python"),
            parser={"C": "fast", "Python": "python"}[parser],
        )
        combined[variant] = python, parser
        described[variant.name] = {
            "title": title,
            "worker_class": worker_class,
            "parser": parser,
            **asdict(python),
            "packages": machine.versions((*raw.PACKAGES, "gunicorn_h1c"), root),
        }
    if not combined:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise LoadTestError("no combination can run here", f"left out: {reasons}")
    with under_load(combined, PROCESSES, task.generator) as bed:
        bed.warm_up(_WARM_SECONDS)
        loops = task.closed_loop(bed), task.open_loop(bed)
        workers = {each.name: worker_bytes(app, PROCESSES) for each, app in bed.apps.items()}
    losses = {}
    for variant, (python, parser) in combined.items():
        say(f"deploying {variant.title}")
        try:
            found = deploys.deploy(python, variant.worker_class, parser, options["deploys"])
        except LoadTestError as error:
            # What was measured so far is worth keeping.
            left_out[f"deployments of {variant.title}"] = " ".join(error.problem.split())
        else:
            losses[variant.name] = asdict(found)
    return task.save(
        "servers",
        bed,
        described,
        loops,
        options={name: value for name, value in options.items() if name != "pythons"},
        skipped=left_out,
        workers=workers,
        deploys=losses,
    )


def lossless(servers: Sequence[Server]) -> list[Server]:
    """Return those that lost nothing, the one with the least CPU of all tiers first."""
    found = [server for server in servers if server.lost == 0]
    return sorted(found, key=lambda each: statistics.median(each.all_us))


def alike(cheapest: Server, servers: Sequence[Server]) -> list[Server]:
    """Return the other lossless ones whose CPU cannot be told from the cheapest one's.

    The 90 % interval of their ratio, if the rounds are drawn again, includes 1.
    """
    return [
        server
        for server in servers
        if server is not cheapest
        and server.lost == 0
        and ratios(server.all_us, cheapest.all_us)[0] <= 1
    ]


def told(data: Raw) -> Report:
    """Return the table of a run, and which server follows from it."""
    options, described = data["options"], data["servers"]
    servers = {
        name: Server(
            each["title"],
            report.all_us(data["samples"], name),
            report.of(data["arrivals"], name, "p99_ms"),
            *_lost(data["deploys"].get(name)),
        )
        for name, each in described.items()
    }
    header = (
        "workers",
        "Python",
        "parser",
        "CPU of the application, µs/request",
        "CPU of all tiers, µs",
        "× the first",
        "requests/s",
        f"p99 at {options['rate']}/s, ms",
        "memory of a worker, MB",
        "lost in deployments",
    )
    first = next(iter(servers.values()))
    rows = []
    for name, server in servers.items():
        each = described[name]
        is_first = server is first
        rows.append(
            (
                each["worker_class"],
                each["version"],
                each["parser"],
                spread(report.of(data["samples"], name, "app_us")),
                spread(server.all_us),
                "1" if is_first else ratio(server.all_us, first.all_us),
                spread(report.of(data["samples"], name, "per_second")),
                spread(report.of(data["arrivals"], name, "p99_ms"), 1),
                f"{data['workers'][name] / 1e6:.1f}",
                ABSENT if server.lost is None else f"{server.lost} of {server.sent:,}",
            )
        )
    return Report(
        "Benchmarks: worker classes, Pythons, parsers",
        "servers",
        [header, *rows],
        _conclusion(list(servers.values())),
        _facts(data),
    )


def _lost(losses: Raw | None) -> tuple[int | None, int]:
    if losses is None:
        return None, 0
    return losses["failed"] + losses["missing"], losses["requests"]


def _conclusion(servers: Sequence[Server]) -> str:
    found = lossless(servers)
    if not found:
        return "None was deployed without a loss."
    cheapest, quickest = found[0], min(found, key=lambda each: statistics.median(each.p99_ms))
    text = (
        f"Of those that lost nothing, {cheapest.title} costs least: "
        f"{statistics.median(cheapest.all_us):.0f} µs of CPU per request in all tiers. It lost 0 "
        f"of {cheapest.sent:,} requests during deployments, which means at most "
        f"{bound(cheapest.sent):.2f} % (95 %)."
    )
    if same := [each.title for each in alike(cheapest, servers)]:
        text += f" By these rounds it cannot be told from: {'; '.join(same)}."
    return (
        f"{text} The shortest p99 at the fixed rate, {statistics.median(quickest.p99_ms):.1f} ms, "
        f"has {quickest.title}."
    )


def _facts(data: Raw) -> dict[str, Any]:
    """Return what the prose of the page needs beside the raw data."""
    plain = {each["version"] for each in data["servers"].values() if not each["is_profiled"]}
    versions = {each["packages"].get("gunicorn_h1c", "") for each in data["servers"].values()}
    return {
        "parser_version": max(versions),
        "deploy_rate": deploys.RATE,
        "not_profiled": sorted(plain),
    }
