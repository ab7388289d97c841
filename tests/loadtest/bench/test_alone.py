"""The benchmarks of this library alone: servers, distance and size, in small real runs."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtest.errors import LoadTestError
from loadtest.frameworks import bench, interpreters, options, peers
from loadtest.frameworks.benchmarks import distance, report, size, workers
from loadtest.frameworks.benchmarks.report import Report
from loadtest.frameworks.benchmarks.task import Task
from loadtest.frameworks.benchmarks.workers import Server
from loadtest.frameworks.load import Generator, generator

_EMPTY = '{"options": {"rate": 1}, "samples": [], "servers": {}}'
_SMALL = {"rounds": 2, "seconds": 1, "rate": 40}


@pytest.fixture(name="load")
def _load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator:
    """The load generator; raw data go to a folder of the test."""
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    return generator()


def _told(path: Path, told: Any) -> tuple[dict[str, Any], Report, str]:
    """Return the raw data of a run, its table, and its page."""
    data = json.loads(path.read_text())
    found = told(data)
    return data, found, report.markdown(data, found)


def test_servers_measures_and_deploys(load: Generator) -> None:
    """A row has each figure; the kit was deployed under load; the conclusion names the server."""
    options = {
        **_SMALL,
        "worker_classes": ["sync"],
        "pythons": [sys.executable, "/bin/false"],
        "parsers": ["Python"],
        "deploys": 1,
    }
    path = workers.measure(Task(peers.named(["unsticky"]), {}, load, options))
    data, found, page = _told(path, workers.told)
    header, row = found.rows
    assert len(row) == len(header)
    version = ".".join(map(str, sys.version_info[:3]))
    assert row[:3] == ("sync", version, "Python")
    (losses,) = data["deploys"].values()
    assert losses["requests"] > 0
    lost = losses["failed"] + losses["missing"]
    assert row[-1] == f"{lost} of {losses['requests']:,}"
    assert (f"sync, Python {version}, Python parser" in found.conclusion) == (lost == 0)
    assert "- Python /bin/false: it is not there, or no CPython from 3.11 on." in page
    assert "the store does not persist" in page


def test_distance_has_each_delay(load: Generator) -> None:
    """A row for each peer and worker class, two columns for each delay; relays say their CPU."""
    options = {**_SMALL, "worker_classes": ["sync", "gevent"], "delays": [0.0, 2.0]}
    path = distance.measure(Task(peers.named(["unsticky"]), {}, load, options))
    data, found, page = _told(path, distance.told)
    header, *rows = found.rows
    assert header[2:] == ["requests/s, 0 ms", "p99, 0 ms", "requests/s, 2 ms", "p99, 2 ms"]
    assert [row[:2] for row in rows] == [["Unsticky", "sync"], ["Unsticky", "gevent"]]
    assert all(len(row) == len(header) for row in rows)
    assert found.conclusion.startswith("Unsticky, requests/s at 2 ms to those at 0 ms: sync × ")
    assert set(data["relays"]) == {"0", "2"}
    assert all(share > 0 for share in data["relays"].values())
    # A request that reads takes one round trip: its latency has the delay in it.
    far = [each["p50_ms"] for each in data["arrivals"] if each["peer"].endswith("-2")]
    assert min(far) >= 2
    assert "% of a core at 2 ms. New connections are not delayed." in page


def test_size_counts_real_sessions(load: Generator) -> None:
    """Each size is in its store, also after restarts; memory and file grow with the sessions."""
    path = size.measure(Task(peers.named(["unsticky"]), {}, load, {**_SMALL, "sizes": [2000, 500]}))
    data, found, page = _told(path, size.told)
    header, *rows = found.rows
    assert [row[0] for row in rows] == ["500", "2,000"]
    assert all(len(row) == len(header) for row in rows)
    small, large = data["filled"]["500"], data["filled"]["2000"]
    assert large["memory"] > 2 * small["memory"] > 0
    assert large["file"] > 2 * small["file"] > 0
    assert [len(each) for each in data["restarts"].values()] == [size.RESTARTS] * 2
    assert "the store persists as the kit's does" in page


_FAST = Server("fast", [100, 101, 102], [2], 3, 1000)
_GOOD = Server("good", [200, 202, 201], [3], 0, 1000)
_SAME = Server("same", [203, 200, 202], [3], 0, 1000)
_SLOW = Server("slow", [300, 303, 302], [4], 0, 1000)
_UNKNOWN = Server("unknown", [100, 101, 102], [2], None, 0)


def test_what_lost_requests_is_not_chosen() -> None:
    """Nor what was not deployed; the least CPU of the others comes first."""
    servers = [_SLOW, _FAST, _UNKNOWN, _SAME, _GOOD]
    assert workers.lossless(servers) == [_GOOD, _SAME, _SLOW]
    assert workers.lossless([_FAST, _UNKNOWN]) == []
    assert workers.alike(_GOOD, servers) == [_SAME]


def test_a_missing_python_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without any, all that were wanted are left out; a shim that fails is none."""
    shim = tmp_path / "python3.13"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert interpreters.found([]) == (
        [],
        {"3.11": "it is not on the PATH", "3.13": "it is not on the PATH"},
    )
    ours, missing = interpreters.found([sys.executable, "3.13"])
    assert [each.path for each in ours] == [sys.executable]
    assert list(missing) == ["3.13"]


def test_a_program_that_is_no_python_is_left_out(tmp_path: Path) -> None:
    """Whatever it prints; and the same version again would be one server, started twice."""
    again = tmp_path / "again"
    again.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    again.chmod(0o700)
    ours, missing = interpreters.found(["/bin/echo", sys.executable, str(again)])
    assert [each.path for each in ours] == [sys.executable]
    assert missing["/bin/echo"].startswith("it is not there")
    assert missing[str(again)].endswith(f"is {ours[0].version}, too")


def test_without_a_python_there_is_nothing_to_measure() -> None:
    """The error says which one is left out, and why; `--servers` is `--only servers`."""
    with pytest.raises(LoadTestError, match=r"no combination(?s:.*)/bin/false: (?s:.*)no CPython"):
        bench.main(["--servers", "--pythons", "/bin/false"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "distance", "--delays", "-1"], "argument --delays: must be 0 to 100 ms"),
        (["--only", "distance", "--delays", "nan"], "argument --delays: must be 0 to 100 ms"),
        (["--only", "distance", "--delays", "far"], "argument --delays: must be 0 to 100 ms"),
        (["--only", "size", "--sizes", "10"], "must be a whole number, 200 to 10,000,000"),
        (["--rounds", "2.5"], "argument --rounds: must be a whole number, 1 to 1,000"),
        (["--rounds", "1"], "--rounds must be 2 or more: one round has no spread"),
        (["--seconds", "21"], "--seconds must be 20 or less"),
        # Seven minutes later, the user would see that it meant nothing.
        (["--deploys", "3"], "--deploys is for servers: name one with --only"),
        (["--only", "page", "--document"], "--document is for peers, "),
        (["--only", "nobody"], "invalid choice: 'nobody'"),
        (["--again", "size-1.json", "--only", "size"], "nothing but --document goes with it"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is out of range, or does nothing, is an error of the command line."""
    with pytest.raises(SystemExit):
        bench.main(arguments)
    assert said in capsys.readouterr().err


def test_options_add_up() -> None:
    """`--servers` leaves `--only` as it is, and what is named twice is measured once."""
    given = options.parsed(
        ["--servers", "--only", "distance", "blob", "--only", "blob", "--delays", "5", "0", "5.0"],
        "",
    )
    assert given.benchmarks == ["servers", "distance"]
    assert given.only == ["servers", "distance", "blob"]
    assert given.delays == [5, 0]


@pytest.mark.parametrize(
    ("benchmark", "peer", "fit"),
    [
        ("size", "flask-session", "it takes unsticky$"),
        ("servers", "unsticky-gevent", "it takes unsticky$"),
        ("distance", "unsticky-sqlite", "it takes unsticky, .*flask-session"),
        ("distance", "express", "it takes unsticky, .*flask-session"),
        ("session", "unsticky-gevent", "it takes unsticky, "),
        ("anomalies", "shop", "it takes unsticky, "),
        ("page", "django", "it takes unsticky, "),
    ],
)
def test_a_peer_that_a_benchmark_cannot_measure_is_refused(
    benchmark: str, peer: str, fit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says why the peer is left out, and which ones the benchmark takes."""
    with pytest.raises(LoadTestError, match=f"nothing is left to measure for {benchmark}") as error:
        bench.main(["--only", benchmark, peer])
    assert f"{peer} is left out: " in capsys.readouterr().out
    assert re.search(fit, error.value.hint)


@pytest.mark.parametrize("content", ["", "[]", "{}", _EMPTY, '{"servers": []}'])
def test_raw_data_that_are_none_are_named(tmp_path: Path, content: str) -> None:
    """A file that cannot be read says which benchmark it was taken for."""
    file = tmp_path / "size-1.json"
    file.write_text(content)
    with pytest.raises(LoadTestError, match=r"size-1.json is no raw data of size \("):
        bench.main(["--again", str(file)])
