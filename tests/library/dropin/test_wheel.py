"""What `pip install` of the built package brings is complete."""

from pathlib import Path
from zipfile import ZipFile

from tests.library.dropin.conftest import Installed
from tests.library.security.valkey import Valkey
from tests.support.checkout import ROOT

_CHECKOUT = ROOT

_PROGRAM = """
import sys, unsticky
from flask import Flask, session
assert unsticky.__file__.startswith(sys.prefix), unsticky.__file__
app = Flask("installed")
app.config.update(SECRET_KEY="a key", UNSTICKY_STORE=sys.argv[1], SESSION_KEY_PREFIX="wheel:")
unsticky.Unsticky(app)

@app.get("/")
def visit():
    return str(session.incr("visits"))

client = app.test_client()
print([client.get("/").text for _ in range(3)])
"""


def test_the_wheel_holds_what_is_not_python(wheel: Path) -> None:
    """Every script of the store and the marker for type checkers are in the wheel."""
    names = set(ZipFile(wheel).namelist())
    scripts = {path.name for path in (_CHECKOUT / "app/unsticky/stores/lua").glob("*.lua")}
    assert scripts
    assert {f"unsticky/stores/lua/{name}" for name in scripts} <= names
    assert "unsticky/py.typed" in names


def test_the_wheel_holds_the_library_alone(wheel: Path) -> None:
    """Nothing of the shop, the kit or the tests comes along."""
    tops = {name.partition("/")[0] for name in ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "unsticky",
        "unsticky_gunicorn.py",
        "unsticky_metrics.py",
        "unsticky_pytest.py",
        "unsticky_traces.py",
    }


def test_a_session_works_where_only_the_wheel_is(
    installed: Installed, valkey: Valkey, tmp_path: Path
) -> None:
    """In an environment with the wheel and its dependencies sessions work, on each store."""
    for store in ("memory://", f"sqlite:///{tmp_path}/sessions.db", valkey.url):
        assert installed("-c", _PROGRAM, store) == "['1', '2', '3']\n"
