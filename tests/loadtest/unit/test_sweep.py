"""A sweep: its runs, and what a failed run leaves."""

import json
from pathlib import Path
from types import SimpleNamespace as Value
from typing import Any

import pytest

from loadtest import settings
from loadtest.errors import LoadTestError
from loadtest.report import sweep

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


def test_each_combination_runs_once(printed: list[str], tmp_path: Path) -> None:
    """The page and the raw data have a row for each."""
    wanted = settings.parse({"STATE_DIR": str(tmp_path)})
    page = sweep.make(wanted, printed.append)
    assert [(p["worker_class"], p["workers"]) for p in _points(tmp_path)] == [
        (name, workers) for name in ("sync", "gevent") for workers in (2, 4, 8)
    ]
    assert all(f"<td>1 x {workers}</td>" in page.read_text() for workers in (2, 4, 8))
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
