"""What a visit expects of numbers that change while answers are on their way."""

import subprocess
import sys
from contextlib import AbstractContextManager

import pytest

from loadtest import Expectation, Refused
from tests.support.checkout import ROOT


def _refuse(change: AbstractContextManager[None], status: int) -> None:
    with pytest.raises(Refused), change:
        raise Refused(status, "")


def test_acknowledged_changes_are_expected() -> None:
    """No more and no less."""
    cart = Expectation()
    with cart.adding("tea", 2):
        pass
    assert cart.difference({"tea": 2}) is None
    assert cart.difference({"tea": 1}) == "tea is 1 instead of 2"
    assert cart.difference({"tea": 3}) == "tea is 3 instead of 2"
    assert cart.difference({}) == "tea is 0 instead of 2"
    assert cart.difference({"tea": 2, "jam": 1}) == "jam is 1 instead of 0"


def test_a_change_under_way_may_be_there_or_not() -> None:
    """While the other tab adds, both the old and the new number are right."""
    cart = Expectation()
    least = cart.least()
    with cart.adding("tea", 1):
        assert cart.difference({}, least) is None
        assert cart.difference({"tea": 1}, least) is None
        assert cart.difference({"tea": 2}, least) == "tea is 2 instead of 0 to 1"
    assert cart.difference({}, least) is None  # sent before it was acknowledged
    assert cart.difference({}) == "tea is 0 instead of 1"


def test_a_change_of_unknown_outcome_may_be_there_or_not() -> None:
    """A refused change was not made; one without an answer may have been, now or later."""
    cart = Expectation()
    _refuse(cart.adding("tea", 1), 409)
    assert cart.difference({"tea": 1}) == "tea is 1 instead of 0"
    _refuse(cart.adding("tea", 1), 502)
    _refuse(cart.adding("jam", 1), 0)
    possible: list[dict[str, int]] = [{}, {"tea": 1}, {"jam": 1}, {"tea": 1, "jam": 1}]
    assert [cart.difference(found) for found in possible] == [None] * 4
    assert cart.difference({"tea": 2}) == "tea is 2 instead of 0 to 1"


def test_setting_a_number_ends_what_was_unknown() -> None:
    """Unless its own outcome is unknown."""
    cart = Expectation()
    _refuse(cart.adding("tea", 1), 502)
    with cart.setting("tea", 5):
        pass
    assert cart.difference({"tea": 6}) == "tea is 6 instead of 5"
    _refuse(cart.setting("tea", 0), 504)
    assert cart.difference({"tea": 5}) is None
    assert cart.difference({}) is None
    _refuse(cart.setting("tea", 9), 404)
    assert cart.difference({"tea": 9}) == "tea is 9 instead of 0 to 5"


def test_importing_the_public_names_patches_nothing() -> None:
    """Locust patches sockets and threads: only its own processes may import it."""
    code = (
        "import sys, loadtest.__main__, loadtest.harness.run, loadtest.report.sweep; "
        "sys.exit(bool({'locust', 'gevent'} & set(sys.modules)))"
    )
    path = f"{ROOT}:{ROOT / 'compose'}"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}, check=False)
    assert done.returncode == 0
