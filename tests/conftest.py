"""Stacks for the tests, and the promise that none is left behind."""

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.checkout import ROOT

if TYPE_CHECKING:
    from tests.support.stacks.local import Stack
    from tests.support.stores.servers import Servers

# Before anything imports them: these tests are the library's, and their assertions explain nothing
# otherwise.
pytest.register_assert_rewrite("unsticky.testing")

StartStack = Callable[..., "Stack"]

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SECONDS_TO_CLEAN_UP = 120
# Of the logs of a stack, beside the failure of a test.
_LAST_LINES = 20
# What a stack is made of. Not `.env`: the developer's own settings are not the tests'.
_PARTS = ("Makefile", "app", "compose", "loadtest", "nginx", "requirements", "pyproject.toml")
# Whose tests put stacks under load: not at the same time.
_LOADED = ("tests/loadtest/test_", "tests/stack/local/", "tests/stack/containers/")
# But for those that look at other things, which need no quiet machine.
_QUIET = (
    "/test_released_apps.py",
    "containers/test_another_host.py",
    "containers/test_failover.py",
    "local/test_your_app.py",
    "containers/test_hardening.py",
    "containers/test_hosts.py",
    "containers/test_overlays.py",
    "containers/test_standins.py",
    "containers/test_swarm.py",
)
# Suites that run once more in containers.
_RUN_AGAIN = ("library/containers/test_contract.py", "shop/containers/test_http.py")
# The groups that take longest (`_group`), the first of all at the top.
_LONGEST = (
    "under load",
    "tests/stack/containers/test_swarm.py",
    "tests/stack/containers/test_overlays.py",
    "tests/library/foreign/test_foreign.py",
    "tests/stack/containers/test_hosts.py",
    "tests/stack/containers/test_released_apps.py",
    "tests/stack/local/test_released_apps.py",
    "tests/stack/observe/test_real_stack.py",
    "tests/kit/test_failures.py",
    "tests/kit/test_machine.py",
)
# Left out of a run of folders, unless LONG=1: half a minute or more each, for what others test,
# too, for versions that seldom change, or for a figure of a page.
_LONG = (
    "library/foreign/test_foreign.py::test_a_suite_differs_only_where_it_is_listed[flask-security]",
    "library/lowest/test_lowest.py::test_the_oldest_versions",
    "contract/test_changes.py::test_more_than_lua_hands_to_one_call_is_applied_whole[mongodb-20000]",
    "kit/test_mongodb.py::test_another_application_needs_no_redis",
    "loadtest/test_smoke.py::test_visitors_ask_below_a_prefix",
    "local/test_released_apps.py::test_released_application_works_and_is_deployed[ihatemoney]",
    "loadtest/bench/test_alone.py::test_distance_has_each_delay",
    "loadtest/bench/test_alone.py::test_size_counts_real_sessions",
    "containers/test_released_apps.py::test_up_runs_a_released_application",
    "containers/test_swarm.py::test_a_broken_release_is_taken_back[is never healthy]",
    "containers/test_hosts.py::test_rollback_of_both_hosts",
    "containers/test_swarm.py::test_other_settings_of_nginx",
    "containers/test_swarm.py::test_former_passwords_end",
    "containers/test_swarm.py::test_a_host_that_is_gone[primary-cut off]",
    "containers/test_swarm.py::test_a_host_that_is_gone[leader-killed]",
    "containers/test_swarm.py::test_all_hosts_that_end",
    "containers/test_swarm.py::test_a_store_elsewhere",
    "containers/test_swarm.py::test_bandwidth_is_that_of_the_formula",
    "containers/test_observe.py::test_every_query_of_the_dashboard_has_data",
    "containers/test_observe.py::test_prometheus_follows_deployments_and_ends",
    "containers/test_another_host.py::test_changed_secret",
    "stack/containers/test_deploy.py::test_next_run_goes_on_after_kill[before 1 rm-up]",
    "stack/containers/test_deploy.py::test_next_run_goes_on_after_kill[after 1 start-rollback]",
    "stack/containers/test_deploy.py::test_next_run_goes_on_after_kill[after 12 change-rollback]",
    "stack/containers/test_deploy.py::test_broken_release_changes_nothing[dies after a second-1]",
    "kit/containers/test_deploy.py::test_passwords_change_while_the_store_runs",
    "kit/containers/test_verbs.py::test_failed_release_leaves_all_replicas",
    "kit/containers/test_verbs.py::test_new_settings_under_load_lose_nothing",
)


def pytest_configure(config: pytest.Config) -> None:
    """Clean up after SIGTERM and SIGHUP too, as after Ctrl-C.

    SIGINT, because a shell that starts the tests in the background lets them ignore it, and the
    verbs that they start would inherit that: a test would wait for ever for one to be interrupted.
    """
    if hasattr(config, "workerinput"):
        _take_time_to_clean_up()

    def interrupt(number: int, _: FrameType | None) -> None:
        # Nothing interrupts the cleaning up. Not SIG_IGN, which its verbs would inherit.
        for other in _INTERRUPTS:
            signal.signal(other, lambda *_: None)
        if config.pluginmanager.hasplugin("dsession"):
            _interrupt_processes_of_tests(number)
        raise KeyboardInterrupt(signal.Signals(number).name)

    for number in _INTERRUPTS:
        signal.signal(number, interrupt)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Give pytest-xdist's processes the time to end their stacks; it kills them after 10 s."""
    from xdist.workermanage import NodeManager

    NodeManager.EXIT_TIMEOUT = _SECONDS_TO_CLEAN_UP


def _take_time_to_clean_up() -> None:
    """Let a process of pytest-xdist end its stacks; execnet ends it 15 s after it was told to."""
    from execnet.gateway_base import WorkerGateway

    name = "_terminate_execution"
    end = vars(WorkerGateway)[name]

    def end_later(gateway: Any) -> None:
        pool = vars(gateway)["_execpool"]
        pool.trigger_shutdown()
        pool.waitall(_SECONDS_TO_CLEAN_UP)
        end(gateway)

    setattr(WorkerGateway, name, end_later)


def _interrupt_processes_of_tests(number: int) -> None:
    import psutil

    for child in psutil.Process().children():
        child.send_signal(number)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a group in one process, if several processes run the tests."""
    from xdist.scheduler import LoadScopeScheduling

    # Otherwise groups of few tests come last, and some of these take minutes.
    config.option.loadscopereorder = False
    scheduler = LoadScopeScheduling(config, log)
    # `--dist loadgroup` of pytest-xdist 3.8 groups nothing with pytest 9.2.
    vars(scheduler)["_split_scope"] = _group
    return scheduler


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out long tests. Begin with the groups that take longest, if several processes run."""
    is_named = config.option.keyword or any("::" in argument for argument in config.args)
    if not is_named and os.environ.get("LONG") != "1":
        left = [item for item in items if item.nodeid.endswith(_LONG)]
        if left:
            config.hook.pytest_deselected(items=left)
            items[:] = [item for item in items if item not in left]
    if hasattr(config, "workerinput"):
        first = {name: place for place, name in enumerate(_LONGEST)}
        items.sort(key=lambda item: first.get(_group(item.nodeid), len(first)))


def _group(nodeid: str) -> str:
    """Return the name of the group of a test, which one process runs.

    The tests of a file are a group, as they may share servers, but for the suites that run again in
    containers: there those of one kind of store are. All that puts stacks under load is one group.
    """
    path, _, name = nodeid.partition("::")
    if path.endswith(_RUN_AGAIN):
        return " ".join([path, *re.findall("redis|valkey", name.partition("[")[2])[:1]])
    return "under load" if path.startswith(_LOADED) and not path.endswith(_QUIET) else path


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what tests have counted (`record_property`), so that the log of a run has it."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid.rpartition('/')[2]}: {name}: {value}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the last lines of the logs of a stack whose test failed."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("own_stack")
    if report.failed and stack is not None:
        for path in sorted(stack.folder.log.glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()[-_LAST_LINES:]
            report.sections.append((f"the end of {path.name}", "\n".join(lines)))
    return report


@pytest.fixture(name="servers", scope="session")
def _servers() -> Iterator["Servers"]:
    """Start stores, and end those that tests share."""
    from tests.support.stores.servers import Servers

    servers = Servers()
    yield servers
    servers.stop()


@pytest.fixture(name="checkout", scope="session")
def _checkout() -> Iterator[Path]:
    """A copy of the project, so that nobody's edits or ``.env`` reach a running test."""
    with tempfile.TemporaryDirectory(prefix="checkout-") as folder:
        copy_checkout(Path(folder))
        yield Path(folder)


def copy_checkout(into: Path) -> None:
    """Copy what a stack is made of into an existing folder."""
    for part in _PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(
                source, into / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True
            )
        else:
            shutil.copy2(source, into / part)


@pytest.fixture(name="new_stack", scope="session")
def _new_stack(checkout: Path) -> Iterator[StartStack]:
    """Make stacks that are not started yet; remove every one of them afterwards."""
    # Only here: the unit tests run without what the stacks need.
    from tests.support.stacks.local import Stack, stacks

    yield from stacks(Stack, checkout)


@pytest.fixture(name="stack", scope="session")
def shared_stack(new_stack: StartStack) -> "Stack":
    """The stack of 2 replicas with 2 workers each that tests share which leave it as it is."""
    stack = new_stack(REPLICAS="2", WORKERS="2")
    stack.up()
    return stack


@pytest.fixture(name="own_stack", scope="module")
def own_stack(new_stack: StartStack) -> Iterator["Stack"]:
    """A stack of two replicas with two workers, which one module may break and repair."""
    stack = new_stack(REPLICAS="2", WORKERS="2")
    stack.up()
    yield stack
    error = stack.dispose()
    assert not error, error
