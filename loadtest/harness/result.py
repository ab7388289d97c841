"""The result of a run: what `run.json` holds, and what reports and comparisons read."""

import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from loadtest.errors import LoadTestError
from loadtest.harness.endpoint import Endpoint
from loadtest.harness.figures import OpenLoop, Second
from loadtest.harness.gate import Profile, Verdict
from loadtest.harness.intervals import Interval
from loadtest.harness.meter import Reading, Use
from loadtest.harness.stack import Event
from loadtest.harness.target import Target
from loadtest.settings import Plan
from loadtest.users.exchange import Exchange
from loadtest.users.findings import Finding
from loadtest.users.samples import Request
from loadtest.users.scenario import Journeys

GENERATOR = "load generator"
"""The tier that is not the target's."""

# `run.json` has had these names from the beginning.
_WRITTEN = {"counts": "findings", "findings": "found"}


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """On what a run was made; `target` holds the versions of the target, if it is ours."""

    machine: str
    load_average: float
    locust: str
    python: str
    commit: str
    target: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A run that was made.

    Attributes:
        time: when it began (RFC 3339, UTC).
        plan: with the names of its files, and without accounts.
        interrupted: whether Ctrl-C ended it.
        seconds: from the first request's start to the last one's end; in an open loop to its
            planned end at most, after which no request is sent.
        throughput: good requests a second within them; `throughput_interval` is its interval, if it
            is known.
        distribution: of latencies, as (from, to, count), in ms.
        workers: requests by `<replica>/<pid>`, also of workers that served none.
        counts: findings by kind.
        suspects: by kind, the worker or replica that all its findings involve.
        findings: the first of them.
        errors: the first of the requests that failed.
        tiers: what each tier used.
        usage: each tier's readings.
        store: commands of the store for each request.
        arrivals: of an open loop.
        exchange: the first that failed, if one did.
        drift: of a soak: the median p95 of the first and the last quarter, in ms.
    """

    time: str
    verdict: Verdict
    target: Target
    plan: Plan
    profile: Profile
    journeys: Journeys
    interrupted: bool
    seconds: float
    throughput: float
    total: Endpoint
    endpoints: Sequence[Endpoint]
    timeline: Sequence[Second]
    distribution: Sequence[tuple[float, float, int]]
    workers: Mapping[str, int]
    counts: Mapping[str, int]
    suspects: Mapping[str, str]
    findings: Sequence[Finding]
    errors: Sequence[Request]
    tiers: Mapping[str, Use]
    usage: Mapping[str, Sequence[Reading]]
    store: Mapping[str, float]
    events: Sequence[Event]
    drift: tuple[float, float] | None
    surroundings: Surroundings
    arrivals: OpenLoop | None = None
    throughput_interval: Interval | None = None
    exchange: Exchange | None = None

    @property
    def unknown_tiers(self) -> str:
        """Why the use of the target's tiers is unknown; empty if it is known."""
        if not self.target.is_ours:
            return "the target is not the stack of this STATE_DIR"
        if not self.tiers.keys() - {GENERATOR}:
            return "this machine cannot see the processes of the containers"
        return ""

    def to_json(self) -> str:
        """Return the text of `run.json`."""
        document = asdict(self, dict_factory=_written)
        document["verdict"]["line"] = self.verdict.line
        for endpoint in (document["total"], *document["endpoints"]):
            endpoint["error_share"] = endpoint["errors"] / endpoint["requests"]
        return json.dumps(document, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the result that a text holds.

        Raises:
            ValueError: it is no `run.json`.
        """
        try:
            result: Self = _read(cls, json.loads(text))
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"no result of a run: {error!r}") from error
        return result

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the result of the run in a folder.

        Raises:
            LoadTestError: it cannot be read.
        """
        try:
            return cls.from_json((folder / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise LoadTestError(
                f"cannot read {folder / 'run.json'}: {error}", "make the run again"
            ) from error


def _written(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of a value as they are written; a second has only known percentiles."""
    return {
        _WRITTEN.get(name, name): value
        for name, value in items
        if value is not None or name not in {"p50", "p95", "p99"}
    }


def _read(kind: Any, value: Any) -> Any:
    """Return what was written, as a value of its type; unknown names are ignored."""
    if isinstance(kind, types.UnionType):
        return None if value is None else _read(typing.get_args(kind)[0], value)
    if is_dataclass(kind):
        make: Any = kind
        return make(
            **{
                name: _read(hint, value[_WRITTEN.get(name, name)])
                for name, hint in typing.get_type_hints(kind).items()
                if _WRITTEN.get(name, name) in value
            }
        )
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(value)
    items = typing.get_args(kind)
    if isinstance(value, dict) and items:
        return {name: _read(items[1], item) for name, item in value.items()}
    if isinstance(value, list) and items:
        return tuple(_read(items[0], item) for item in value)
    return value
