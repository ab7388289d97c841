"""What a visitor expects of numbers that change while answers are on their way.

In a process of its own: what scenarios import patches the process that it is in.
"""

import subprocess
import sys

import pytest

from tests.support.checkout import ROOT

_LOADTEST = ROOT / "loadtest"

_BEFORE = """
from visits import Expectation, Refused

cart = Expectation()

def refuse(how, status):
    try:
        with how:
            raise Refused(status, "")
    except Refused:
        pass

"""


@pytest.mark.parametrize(
    "statements",
    [
        # What was acknowledged has to be there, no more and no less.
        """
        with cart.adding("tea", 2): pass
        assert cart.difference({"tea": 2}) is None
        assert cart.difference({"tea": 1}) == "tea is 1 instead of 2"
        assert cart.difference({"tea": 3}) == "tea is 3 instead of 2"
        assert cart.difference({}) == "tea is 0 instead of 2"
        assert cart.difference({"tea": 2, "jam": 1}) == "jam is 1 instead of 0"
        """,
        # While the other tab adds, both what was and what will be is right.
        """
        least = cart.least()
        with cart.adding("tea", 1):
            assert cart.difference({}, least) is None
            assert cart.difference({"tea": 1}, least) is None
            assert cart.difference({"tea": 2}, least) == "tea is 2 instead of 0 to 1"
        assert cart.difference({}, least) is None  # asked before it was acknowledged
        assert cart.difference({}) == "tea is 0 instead of 1"
        """,
        # A refused change was not made; one without an answer may have been, now or later.
        """
        refuse(cart.adding("tea", 1), 409)
        assert cart.difference({"tea": 1}) == "tea is 1 instead of 0"
        refuse(cart.adding("tea", 1), 502)
        refuse(cart.adding("jam", 1), 0)
        for found in ({}, {"tea": 1}, {"jam": 1}, {"tea": 1, "jam": 1}):
            assert cart.difference(found) is None
        assert cart.difference({"tea": 2}) == "tea is 2 instead of 0 to 1"
        """,
        # Setting ends what was unknown, unless it is unknown itself.
        """
        refuse(cart.adding("tea", 1), 502)
        with cart.setting("tea", 5): pass
        assert cart.difference({"tea": 6}) == "tea is 6 instead of 5"
        refuse(cart.setting("tea", 0), 504)
        assert cart.difference({"tea": 5}) is None
        assert cart.difference({}) is None
        refuse(cart.setting("tea", 9), 404)
        assert cart.difference({"tea": 9}) == "tea is 9 instead of 0 to 5"
        """,
    ],
    ids=["acknowledged", "under way", "unknown", "set"],
)
def test_an_answer_is_within_its_bounds(statements: str) -> None:
    """The statements hold."""
    lines = "\n".join(line.removeprefix("        ") for line in statements.splitlines())
    done = subprocess.run(
        [sys.executable, "-c", _BEFORE + lines],
        env={"PYTHONPATH": str(_LOADTEST)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
