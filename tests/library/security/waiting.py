"""What cannot be proved yet, said aloud: which requirement, what is missing, what it waits for.

A test marked `waiting` does not run. It is neither a failure nor a skip: it has an outcome of its
own, and the summary lists every one of them.
"""

from collections.abc import Generator
from typing import Final

import pytest

_REASON: Final = "waiting for "


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "waiting(issue): holds once `issue` is there; listed in the summary until then"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Do not run what waits."""
    marker = item.get_closest_marker("waiting")
    if marker is not None:
        pytest.skip(f"{_REASON}{marker.kwargs['issue']}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Take waiting tests out of the skipped ones, and keep what each would hold."""
    report = yield
    marker = item.get_closest_marker("waiting")
    if marker is not None and call.when == "setup":
        docstring = (getattr(item, "obj", None).__doc__ or "").partition("\n")[0]
        report.user_properties = [("waiting", (item.name, marker.kwargs["issue"], docstring))]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Name the outcome."""
    if any(name == "waiting" for name, _ in getattr(report, "user_properties", ())):
        return "waiting", "w", "WAITING"
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List what waits."""
    reports = terminalreporter.stats.get("waiting", [])
    if not reports:
        return
    terminalreporter.section("waiting: required, not provable yet")
    for report in reports:
        for _, row in report.user_properties:
            name, issue, docstring = row
            terminalreporter.write_line(f"{name}  [{issue}]  {docstring}")
