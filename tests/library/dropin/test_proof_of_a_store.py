"""`pytest --unsticky-store`, as somebody runs it who has the wheel and a store."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.library.dropin.conftest import Installed
from tests.support import disks
from tests.support.checkout import ROOT
from tests.support.pages import blocks

_GUIDE = ROOT / "docs" / "writing-a-store.md"

_BROKEN = '''
import time
from dataclasses import replace
from unsticky.stores import Caps, Destroy, MemoryStore, Plan, Write


class Loses(MemoryStore):
    """Writes whatever was read before."""

    def write(self, reference, changes, *arguments, **options):
        bare = (replace(c, base=c.value) if isinstance(c, Write) else c for c in changes)
        found = self.read(reference, arguments[1], arguments[2], slide=False)
        fields = getattr(found, "fields", {})
        now = tuple(
            replace(c, base=fields.get(c.field)) if isinstance(c, Write) else c for c in bare
        )
        return super().write(reference, now, *arguments, **options)


class Races(MemoryStore):
    """Stores what was planned without looking whether it still fits."""

    def carry_out(self, call, deadline):
        plan = Plan(dict(self._documents).get, int(self._clock() * 1000), self._caps)
        answer = call(plan)
        time.sleep(0.0005)
        self._documents.update(plan.replaced)
        return answer


class Revives(MemoryStore):
    """Forgets at once that a session ended."""

    def write(self, reference, *arguments, finish=None, **options):
        outcome = super().write(reference, *arguments, finish=finish, **options)
        if isinstance(finish, Destroy):
            self._documents.pop(f"session:{reference.handle}", None)
        return outcome


class Repeats(MemoryStore):
    """Does what is sent again again."""

    count = 0

    def write(self, reference, changes, operation, *arguments, **options):
        self.count += 1
        operation = operation._replace(request=b"%d" % self.count)
        return super().write(reference, changes, operation, *arguments, **options)


class Hides(MemoryStore):
    """Lists no sessions of a user."""

    def sessions(self, user, deadline):
        return ()


class Costs(MemoryStore):
    """Takes two round trips for everything."""

    round_trips = 0

    def carry_out(self, call, deadline):
        self.round_trips += 2
        return super().carry_out(call, deadline)


class Alone(MemoryStore):
    """Has other data in each process, and does not say so."""

    lacks = frozenset()


class Unloaded(MemoryStore):
    """Returns no fields where they were asked for."""

    def write(self, *arguments, load=False, **options):
        return super().write(*arguments, **options)


class Forgets(MemoryStore):
    """Reads sessions without what is in them."""

    def read(self, *arguments, **options):
        found = super().read(*arguments, **options)
        return found._replace(fields={}) if hasattr(found, "fields") else found


def loses(folder, caps, clock):
    return Loses(caps, clock)

def races(folder, caps, clock):
    return Races(caps, clock)

def revives(folder, caps, clock):
    return Revives(caps, clock)

def never_expires(folder, caps, clock):
    started = clock()
    return MemoryStore(caps, lambda: started)

def has_no_caps(folder, caps, clock):
    return MemoryStore(Caps(10**6, 10**9), clock)

def repeats(folder, caps, clock):
    return Repeats(caps, clock)

def hides(folder, caps, clock):
    return Hides(caps, clock)

def costs(folder, caps, clock):
    return Costs(caps, clock)

def alone(folder, caps, clock):
    return Alone(caps, clock)

def unloaded(folder, caps, clock):
    return Unloaded(caps, clock)

def forgets(folder, caps, clock):
    return Forgets(caps, clock)

def has_no_users(folder, caps, clock):
    store = MemoryStore(caps, clock)
    store.lacks = frozenset({"users", "processes"})
    return store

def cannot_be_made(folder, caps, clock):
    raise OSError("no such server")

def lacks_a_name(folder, caps, clock):
    store = MemoryStore(caps, clock)
    store.lacks = frozenset({"patience"})
    return store
'''


def prove(installed: Installed, folder: Path, named: str, *options: str) -> tuple[int, str]:
    """Run pytest on a store of this folder; return its status and what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if disks.FAST:
        environment["TMPDIR"] = disks.FAST
    command = [str(installed.python), "-m", "pytest", "-q", f"--unsticky-store={named}", *options]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


def verdicts(output: str) -> dict[str, str]:
    """Return what the run says of each promise."""
    _, _, summary = output.partition("promises of ")
    lines = [line for line in summary.splitlines() if line[:1] == "P" and line[1:2].isdigit()]
    return {line[:4].strip(): line[4:14].strip() for line in lines}


_HELD = dict.fromkeys(("P1", "P2", "P5", "P7", "P8", "P9", "P10", "P11", "P12"), "held")


def test_the_store_of_the_guide_keeps_all_promises(installed: Installed, tmp_path: Path) -> None:
    """Its two files are all that is in the folder, but for a conftest.py that is in the way."""
    store = blocks("The whole of it", "python", page=_GUIDE)
    proof = blocks("Prove it", "python", page=_GUIDE)
    (tmp_path / "mystore.py").write_text(store[0].text)
    (tmp_path / "proof.py").write_text(proof[0].text)
    (tmp_path / "conftest.py").write_text("raise RuntimeError('it is not read')")
    (command,) = blocks("Prove it", "sh", page=_GUIDE)
    assert command.text == "pytest --unsticky-store=proof:factory\n"
    status, output = prove(installed, tmp_path, "proof:factory")
    assert status == 0, output
    assert verdicts(output) == {**_HELD, "P4": "not tried"}


def test_a_copy_of_the_store_in_sqlite_keeps_all_promises(
    installed: Installed, tmp_path: Path
) -> None:
    """With the two lines changed that the guide says, it needs nothing but what is public.

    Two processes of pytest-xdist share the work, as somebody may want it.
    """
    text = (ROOT / "app" / "unsticky" / "stores" / "sqlite.py").read_text()
    text = text.replace("from . import", "from unsticky.stores import")
    (tmp_path / "copied.py").write_text(text.replace("from ..errors", "from unsticky.errors"))
    proof = blocks("Prove it", "python", page=_GUIDE)[0].text
    proof = proof.replace("mystore", "copied").replace("MyStore", "SqliteStore")
    (tmp_path / "proof.py").write_text(proof)
    status, output = prove(installed, tmp_path, "proof:factory", "-n", "2")
    assert status == 0, output
    assert verdicts(output) == {**_HELD, "P4": "not tried"}
    lines = len(text.splitlines())
    assert f"made ready in {lines} lines" in _GUIDE.read_text()
    assert lines < 250


@pytest.mark.parametrize(
    ("name", "promise", "demand"),
    [
        ("loses", "P1", "Another value stands than was read"),
        ("races", "P1", "Two hundred additions from eight threads add up."),
        ("alone", "P1", "400 additions by 4 processes of 4 threads are all made"),
        ("revives", "P2", "Who comes late is told how it ended"),
        ("costs", "P4", "Reading, changing, creating and ending cost at most one each."),
        ("never_expires", "P5", "A session that nobody used for its idle limit is not there."),
        ("has_no_caps", "P8", "Names and values up to the cap fit; a byte more is refused"),
        ("repeats", "P9", "Both answers are the sum, and it was added once."),
        ("hides", "P10", "The list has the time of binding, when it was last seen, and the label"),
        ("unloaded", "P11", "Sixty calls about five sessions of one user"),
        ("forgets", "P12", "What one request stored is there in the next one"),
    ],
)
def test_a_broken_store_is_named(
    installed: Installed, tmp_path: Path, name: str, promise: str, demand: str
) -> None:
    """The run fails, and says which promise is broken, and by what."""
    (tmp_path / "broken.py").write_text(_BROKEN)
    status, output = prove(installed, tmp_path, f"broken:{name}", "--tb=no")
    assert status == 1, output
    assert verdicts(output)[promise] == "BROKEN", output
    _, _, after = output.partition(f"\n{promise:4}BROKEN")
    assert demand in after.partition("\nP")[0], output


def test_what_a_store_lacks_is_neither_held_nor_broken(
    installed: Installed, tmp_path: Path
) -> None:
    """It is reported as not kept, and that its use is refused is tried."""
    (tmp_path / "broken.py").write_text(_BROKEN)
    status, output = prove(installed, tmp_path, "broken:has_no_users", "-vv")
    assert status == 0, output
    expected = {"P1": "in part", "P4": "held", "P10": "not kept"}
    assert verdicts(output) == {**_HELD, **expected}
    assert "application.py::test_what_the_store_lacks_is_refused PASSED" in output
    assert "user_sessions.py::test_beyond_the_limit_the_oldest_end NOT KEPT" in output


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("broken", "hint: write module:function"),
        ("broken:nothing", "hint: write module:function"),
        ("nowhere:factory", "No module named 'nowhere'"),
        ("broken:cannot_be_made", "OSError: no such server"),
        ("broken:lacks_a_name", "hint: a store may lack users and processes"),
    ],
)
def test_a_factory_that_is_none_ends_the_run(
    installed: Installed, tmp_path: Path, named: str, says: str
) -> None:
    """With what is wrong and what to write, and without a trace."""
    (tmp_path / "broken.py").write_text(_BROKEN)
    status, output = prove(installed, tmp_path, named)
    assert status == 4, output
    assert says in output
    assert "Traceback" not in output


def test_other_runs_do_not_load_the_library(installed: Installed, tmp_path: Path) -> None:
    """Pytest loads the plugin in each run of an application's tests: it costs them nothing."""
    (tmp_path / "test_own.py").write_text(
        "import sys\ndef test_own():\n    assert 'unsticky_pytest' in sys.modules\n"
        "    assert 'unsticky' not in sys.modules and 'flask' not in sys.modules\n"
    )
    assert "1 passed" in installed("-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path)
