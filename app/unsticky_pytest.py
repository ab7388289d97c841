"""The pytest option `--unsticky-store`, with which a store shows that it keeps the promises.

See docs/writing-a-store.md. pytest loads this module in every run, also in those of applications
that use the library and want nothing of this. So it imports nothing until the option is given.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("unsticky").addoption(
        "--unsticky-store",
        metavar="MODULE:FACTORY",
        help="run the tests that Unsticky has for stores on the one that this function makes",
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Read no conftest.py, whose fixtures could replace those of these tests."""
    if early_config.known_args_namespace.unsticky_store:
        early_config.known_args_namespace.noconftest = True
    yield


def pytest_configure(config: pytest.Config) -> None:
    """Run the tests, if the option is given."""
    named: str | None = config.getoption("unsticky_store")
    if named:
        pytest.register_assert_rewrite("unsticky.testing")
        from unsticky.testing.plugin import Proof

        config.pluginmanager.register(Proof(config, named), "unsticky-proof")
