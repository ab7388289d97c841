"""A sweep: its runs, the capacity and the law that it finds, and what a failed run leaves."""

import json
import math
from pathlib import Path
from types import SimpleNamespace as Value
from typing import Any

import pytest

from loadtest import settings
from loadtest.errors import LoadTestError
from loadtest.report import sweep, usl

_WORKERS = "2,4,8"


class _Stacks:
    """Replaces real stacks: the target of the next run."""

    ended = False
    size = 0

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir

    def up(self, _worker_class: str, replicas: int, workers: int) -> None:
        _Stacks.size = replicas * workers

    def down(self) -> None:
        _Stacks.ended = True


class _Runs:
    """Replaces real runs: each worker serves 50 requests a second, all workers 205 at most."""

    broken_from = 99

    def __init__(self, wanted: settings.Settings, _say: object) -> None:
        self.wanted = wanted

    def make(self) -> tuple[Value, None]:
        if _Stacks.size >= self.broken_from:
            raise LoadTestError("the load generator did not begin")
        result = Value(
            throughput=min(50.0 * _Stacks.size, 205.0), counts={}, verdict=Value(word="pass"),
            total=Value(percentiles={"p95": 1.0}), tiers={"app": Value(cpu_us=700.0)},
        )  # fmt: skip
        return result, None


@pytest.fixture(name="printed")
def _printed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(sweep, "_Stack", _Stacks)
    monkeypatch.setattr(sweep, "Run", _Runs)
    monkeypatch.setattr(_Stacks, "ended", False)
    monkeypatch.setenv("SWEEP", f"replicas=1 workers={_WORKERS} class=sync,gevent")
    return []


def _points(state_dir: Path) -> list[dict[str, Any]]:
    (file,) = state_dir.glob("loadtest/sweep-*/sweep.json")
    points: list[dict[str, Any]] = json.loads(file.read_text())["points"]
    return points


def test_the_capacity_has_nearly_all_throughput(printed: list[str], tmp_path: Path) -> None:
    """Each combination runs once; four workers do 95 % of what eight do, in each class."""
    wanted = settings.parse({"STATE_DIR": str(tmp_path)})
    page = sweep.make(wanted, printed.append)
    assert [(p["worker_class"], p["workers"]) for p in _points(tmp_path)] == [
        (name, workers) for name in ("sync", "gevent") for workers in (2, 4, 8)
    ]
    for name in ("sync", "gevent"):
        assert any(f"{name:8} capacity 4 workers, 200 requests/s" in line for line in printed)
    assert "Universal Scalability Law" in page.read_text()
    assert _Stacks.ended


def test_a_failed_run_leaves_the_runs_before_it(
    printed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is raised, the stack ends, and a report holds the earlier runs."""
    monkeypatch.setattr(_Runs, "broken_from", 8)
    wanted = settings.parse({"STATE_DIR": str(tmp_path)})
    with pytest.raises(LoadTestError, match="did not begin"):
        sweep.make(wanted, printed.append)
    assert [point["workers"] for point in _points(tmp_path)] == [2, 4]
    assert printed[-1].endswith("The report covers the 2 runs made so far.")
    assert _Stacks.ended


@pytest.mark.parametrize(
    "given", [{"HOST": "http://127.0.0.1:1"}, {"RATE": "5"}, {"SHAPE": "spike"}], ids=str
)
def test_a_setting_that_a_sweep_ignores_is_refused(
    given: dict[str, str], printed: list[str], tmp_path: Path
) -> None:
    """A target, an open loop and another shape are refused before any stack runs."""
    wanted = settings.parse({"STATE_DIR": str(tmp_path), **given})
    (name,) = given
    with pytest.raises(LoadTestError, match=rf"(?s){name}=.*leave {name} out"):
        sweep.make(wanted, printed.append)
    assert not printed
    assert not _Stacks.ended


def test_a_law_is_recovered_from_its_throughputs() -> None:
    """A fit to a law's own throughputs returns that law."""
    law = usl.Law(alone=1000.0, contention=0.05, coherency=0.01)
    found = usl.fit([(n, law.throughput(n)) for n in (1, 2, 4, 8, 16)])
    assert found is not None
    assert found.alone == pytest.approx(1000.0)
    assert found.contention == pytest.approx(0.05)
    assert found.coherency == pytest.approx(0.01)
    assert found.peak == pytest.approx(math.sqrt(0.95 / 0.01))


def test_linear_scaling_has_no_peak() -> None:
    """Neither contention nor coherency, and noise does not make them negative."""
    found = usl.fit([(1, 100.0), (2, 203.0), (4, 405.0), (8, 811.0)])
    assert found is not None
    assert found.contention == 0
    assert found.coherency == 0
    assert found.peak == math.inf


def test_one_worker_does_the_most_if_every_other_costs_more() -> None:
    """A curve that only falls has its peak at its start; a busy machine produced one."""
    found = usl.fit([(1, 424.0), (2, 253.0), (4, 272.0)])
    assert found is not None
    assert found.throughput(1) > found.throughput(2) > found.throughput(4)
    assert found.peak == 1
    assert usl.Law(alone=100.0, contention=0.5, coherency=1.0).peak == 1
