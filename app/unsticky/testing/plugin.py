"""The pytest plugin: runs the tests on the store that a factory makes, and says what it keeps."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest

from .places import CAPS, Factory, LimitedStore, Made
from .promises import LACKS, NOT_KEPT, PROMISES

_TESTS: Final = Path(__file__).parent / "contract"


class Proof:
    """One run on one store.

    Args:
        config: pytest's.
        named: the factory, as `module:function`; modules in the current folder are found.
    """

    def __init__(self, config: pytest.Config, named: str) -> None:
        self.named = named
        self.factory = found(named)
        self.lacks = _lacks(self.factory, named)
        self._reports: list[pytest.TestReport] = []
        if config.args_source is not pytest.Config.ArgsSource.ARGS:
            config.args[:] = []
        config.args.append(str(_TESTS))

    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> pytest.Module | None:
        """Collect the tests, whose files no other run of pytest takes for tests."""
        if file_path.parent != _TESTS or file_path.suffix != ".py":
            return None
        module: pytest.Module = pytest.Module.from_parent(parent, path=file_path)
        return module

    @pytest.fixture(name="factory")
    def _factory(self) -> str:
        """How another process finds the factory."""
        return self.named

    @pytest.fixture(name="place")
    def _place(self) -> Iterator[Made]:
        """An empty place of the store."""
        place = Made(self.factory)
        yield place
        place.close()

    @pytest.fixture(name="store")
    def _store(self, place: Made) -> LimitedStore:
        """The store, empty."""
        return place.new_store()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Note which promise each test holds, and what it demands."""
        for item in items:
            if isinstance(item, pytest.Function) and item.path.parent == _TESTS:
                name = getattr(item.function, "promise", item.module.PROMISE)
                demand = (item.function.__doc__ or item.name).split("\n")[0]
                item.user_properties += [("promise", name), ("demand", demand)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Show what the store does not promise as that, neither as passed nor as skipped."""
        return ("not kept", "n", "NOT KEPT") if NOT_KEPT in _reason(report) else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what became of each test."""
        if report.when == "call" or report.outcome != "passed":
            self._reports.append(report)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print each promise, and whether the store kept it."""
        terminalreporter.section(f"promises of {self.named}")
        for name, title in PROMISES.items():
            mine = [each for each in self._reports if ("promise", name) in each.user_properties]
            missing = sorted(lack for lack in self.lacks if LACKS.get(lack) == name)
            terminalreporter.write_line(f"{name:4}{_verdict(mine, missing):10}{title}")
            for lack in missing:
                terminalreporter.write_line(f"      the store says that it lacks {lack!r}")
            for each in mine:
                if each.failed:
                    demand = dict(each.user_properties)["demand"]
                    terminalreporter.write_line(f"      {demand}  [{each.nodeid}]")
            for reason in sorted({_reason(each) for each in mine if each.skipped} - {""}):
                if NOT_KEPT not in reason:
                    terminalreporter.write_line(f"      not tried: {reason}")


def found(named: str) -> Factory:
    """Return the factory of this name.

    Raises:
        pytest.UsageError: there is none.
    """
    module, _, name = named.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        factory: Factory = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise pytest.UsageError(
            f"--unsticky-store={named}: {error}\n"
            "hint: write module:function; the module is in this folder or installed"
        ) from error
    return factory


def _lacks(factory: Factory, named: str) -> frozenset[str]:
    """Return what the store says that it lacks; a store that cannot be made ends the run."""
    place = Made(factory)
    try:
        store = place.new_store(caps=CAPS).store
        lacks = frozenset(getattr(store, "lacks", ()))
    except Exception as error:
        raise pytest.UsageError(
            f"--unsticky-store={named}: {type(error).__qualname__}: {error}\n"
            "hint: factory(folder, caps) or factory(folder, caps, clock) returns a store"
        ) from error
    finally:
        place.close()
    if unknown := sorted(lacks - LACKS.keys()):
        raise pytest.UsageError(
            f"--unsticky-store={named}: the store lacks {', '.join(unknown)}\n"
            f"hint: a store may lack {' and '.join(LACKS)}"
        )
    return lacks


def _verdict(reports: Sequence[pytest.TestReport], missing: Sequence[str]) -> str:
    """Return what came of the tests of a promise."""
    if any(each.failed for each in reports):
        return "BROKEN"
    passed = any(each.passed for each in reports)
    if missing:
        return "in part" if passed else "not kept"
    return "held" if passed else "not tried"


def _reason(report: pytest.TestReport) -> str:
    """Return why a test was skipped, empty if it was not."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
    return text.removeprefix("Skipped: ")
