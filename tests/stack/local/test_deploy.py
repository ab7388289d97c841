"""`make deploy` and `make rollback` of processes under load: whatever happens, nothing is lost."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import StartStack, copy_checkout
from tests.support.checkout import ROOT
from tests.support.ports import free_port
from tests.support.stacks.load import Load, steady_load
from tests.support.stacks.local import Stack
from tests.support.waiting import wait_until

# How a release is wrong: what its code does when a worker imports it.
_BROKEN = {
    "does not import": "raise RuntimeError('broken on purpose')",
    "ends at once": "import os; os._exit(1)",
    "is never ready": "import time; time.sleep(60)",
    "dies after two seconds": "import os, threading; threading.Timer(2, os._exit, [1]).start()",
}
_LOSES_ADDS = """
from itertools import count
from unsticky.maps import SessionMap
incr, calls = SessionMap.incr, count(1)
def forget(self, key, delta=1, **more):
    if next(calls) % 100:
        return incr(self, key, delta, **more)
    return self.get(key, 0) + delta
SessionMap.incr = forget
"""
# A deployment has more than 60 steps. `python -m tests.stack.local.test_deploy` tries all of them.
_SPREAD = (12, 27, 42, 57)


@pytest.fixture(name="deployed", scope="module")
def _deployed(new_stack: StartStack) -> Iterator[Stack]:
    """A stack of two replicas in a checkout of its own, whose verbs can be killed."""
    with tempfile.TemporaryDirectory(prefix="checkout-") as folder:
        stack = new_stack(REPLICAS="2", WORKERS="1", READY_TIMEOUT="20")
        yield _stack_in(Path(folder), stack)
        assert not stack.dispose()


def _stack_in(checkout: Path, stack: Stack) -> Stack:
    copy_checkout(checkout)
    shutil.copy(
        ROOT / "tests/support/stacks/kill_at_step.py", checkout / "compose/sitecustomize.py"
    )
    stack.checkout = checkout
    stack.up()
    return stack


@pytest.fixture(name="load")
def _load(deployed: Stack) -> Iterator[Load]:
    """Visitors during a test; none of them meets anything wrong, and two replicas serve then."""
    with steady_load(deployed, visitors=2) as load:
        yield load
        load.await_more(20)
    assert load.failures == []
    assert len(deployed.replicas()) == 2


def _write(stack: Stack, line: str) -> None:
    """Make the code another one, or with an empty line that of the beginning."""
    source = (ROOT / "app/shop/__init__.py").read_text(encoding="utf-8")
    text = f"{source}\n{line}\n" if line else source
    (stack.checkout / "app/shop/__init__.py").write_text(text, encoding="utf-8")


def _serving(stack: Stack) -> set[str]:
    """Return the releases of the replicas that nginx uses."""
    conf = (stack.folder.nginx / "conf" / "upstream.conf").read_text(encoding="utf-8")
    used = re.findall(r"^    server unix:.*/(app-\d+)\.sock", conf, re.MULTILINE)
    assert sorted(used) == stack.replicas()
    specs = [json.loads(stack.folder.service_spec(name).read_text("utf-8")) for name in used]
    return {Path(spec["cwd"]).parent.name for spec in specs}


def _assert_all_is_named(stack: Stack) -> None:
    """Check that `make status` shows every process, except for supervisord."""

    def unnamed() -> set[int]:
        shown = set(map(int, re.findall(r"\d+", stack.succeed("status"))))
        found = {process.pid for process in stack.processes() if process.is_running()}
        return found - shown - {stack.pid("supervisord")}

    wait_until(lambda: not unnamed(), "status names all")


def test_deploy_and_rollback(deployed: Stack, load: Load) -> None:
    """A release serves; the rollback takes it back, and runs no command."""
    first = _serving(deployed)
    assert "Nothing to deploy" in deployed.succeed("deploy")
    _write(deployed, "# second")
    deployed.succeed("deploy")
    assert _serving(deployed) != first
    shown = [line.split() for line in deployed.succeed("releases").splitlines()]
    assert [(words[0], words[-1] == "serves") for words in shown] == [("r2", True), ("r1", False)]
    load.await_more(20)
    record = deployed.state_dir / "releases.json"
    before = record.read_text(encoding="utf-8")
    deployed.succeed("rollback", RELEASE_COMMAND="exit 1")
    assert _serving(deployed) == first
    # As a rollback leaves it that is killed at its end: the next one finishes that.
    record.write_text(before, encoding="utf-8")
    assert "Nothing to deploy" in deployed.succeed("rollback")
    assert _serving(deployed) == first
    assert "there is no earlier release" in deployed.fail("rollback")


@pytest.mark.parametrize("kind", _BROKEN)
def test_failed_release_leaves_all_replicas(deployed: Stack, load: Load, kind: str) -> None:
    """A release that fails stops; the replicas that served go on, and what follows is as before."""
    before = deployed.running()
    _write(deployed, _BROKEN[kind])
    printed = deployed.fail("deploy", READY_TIMEOUT="8")
    assert "the replicas that ran before go on serving" in printed
    load.await_more(20)
    assert deployed.running() == before
    _write(deployed, "")
    assert "Nothing to deploy" in deployed.succeed("deploy")


@pytest.mark.parametrize("stage", ["direct", "mixed"])
def test_failed_smoke_test_undoes_the_release(deployed: Stack, load: Load, stage: str) -> None:
    """A command that finds a fault, at either stage, undoes the release; its words are shown."""
    before = deployed.running()
    _write(deployed, "# wrong")
    command = f"echo of $SMOKE_URL; [ $SMOKE_STAGE != {stage} ]"
    printed = deployed.fail("deploy", SMOKE_SECONDS="1", SMOKE_COMMAND=command.replace("$", "$$"))
    assert f"the smoke test ({stage}) of the new release failed" in printed
    assert ("of unix:/" if stage == "direct" else f"of http://127.0.0.1:{deployed.port}") in printed
    load.await_more(20)
    assert deployed.running() == before
    _write(deployed, "")


def test_visitors_find_a_lost_add(deployed: Stack, load: Load) -> None:
    """A release that forgets every hundredth add is undone by the kit's own smoke test."""
    before = deployed.running()
    _write(deployed, _LOSES_ADDS)
    printed = deployed.fail("deploy", SMOKE_SECONDS="5")
    assert "smoke test failed" in printed
    assert "lost" in printed
    load.await_more(20)
    assert deployed.running() == before
    _write(deployed, "")


def test_longer_requests_stop_nothing(deployed: Stack, load: Load) -> None:
    """Another time limit, which supervisord learns of only when a service stops, loses nothing."""
    nginx = deployed.pid("nginx")
    deployed.succeed("deploy", REQUEST_SECONDS="40")
    load.await_more(20)
    assert deployed.pid("nginx") == nginx
    deployed.succeed("deploy")


def test_changed_template_loses_nothing(deployed: Stack, load: Load) -> None:
    """A new template goes into the running nginx; one that it refuses changes nothing."""
    template = deployed.checkout / "nginx/server.conf.template"
    text, before = template.read_text(encoding="utf-8"), deployed.running()
    template.write_text(text.replace("server {", "server {\n    add_header X-New 1;", 1))
    deployed.succeed("deploy")
    load.await_more(20)
    changed = (deployed.folder.nginx / "conf/server.conf").read_text(encoding="utf-8")
    assert "X-New" in changed
    template.write_text(f"{text}\nnonsense;\n", encoding="utf-8")
    _write(deployed, "# with a wrong template")
    assert "nonsense" in deployed.fail("deploy")
    load.await_more(20)
    assert deployed.running() == before
    assert (deployed.folder.nginx / "conf/server.conf").read_text(encoding="utf-8") == changed
    template.write_text(text, encoding="utf-8")
    _write(deployed, "")
    deployed.succeed("deploy")


def _try_step(deployed: Stack, number: int, by: str = "SIGKILL") -> bool:
    """Kill a deployment after a step; the next verb undoes or finishes it. Return if it was killed.

    Its smoke test asks nobody, but there is one.
    """
    _write(deployed, f"# killed after step {number} by {by}")
    smoke = {"SMOKE_SECONDS": "1", "SMOKE_COMMAND": "true"}
    status, printed = deployed.verb("deploy", KILL_AT=str(number), KILL_BY=by, **smoke)
    is_killed = status != 0
    _assert_all_is_named(deployed)
    verb = ("deploy", "restart")[number // 10 % 2]
    deployed.succeed(verb)
    assert len(_serving(deployed)) == 1, printed
    _assert_all_is_named(deployed)
    assert len(deployed.replicas()) == 2, printed
    return is_killed


@pytest.mark.parametrize("number", _SPREAD)
def test_killed_deployment_loses_nothing(deployed: Stack, load: Load, number: int) -> None:
    """After kill -9 behind a step the stack serves, and the next verb undoes or finishes it."""
    assert _try_step(deployed, number)
    load.await_more(20)


@pytest.mark.parametrize("by", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_interrupted_deployment_goes_back(deployed: Stack, load: Load, by: str) -> None:
    """Ctrl-C, or a terminal that goes, in the middle of a deployment undoes it at once."""
    before = deployed.running()
    _write(deployed, f"# {by}")
    status, printed = deployed.verb("deploy", KILL_AT="30", KILL_BY=by)
    assert status
    assert "Traceback" not in printed
    assert deployed.running() == before
    load.await_more(20)
    deployed.succeed("deploy")


def test_two_deployments_at_once(deployed: Stack, load: Load) -> None:
    """The second one is refused while the first one works, and waits for a killed one's command."""
    _write(deployed, "# two at once")
    first = deployed.start_verb("deploy", RELEASE_COMMAND="sleep 20", KILL_AT="")
    make = psutil.Process(first.pid)

    def command() -> list[psutil.Process]:
        return [each for each in make.children(recursive=True) if each.name() == "sleep"]

    (sleep,) = wait_until(command, "its command runs", ignoring=psutil.NoSuchProcess)
    assert "is changing this stack" in deployed.fail("deploy")
    verb = next(each for each in sleep.parents() if "kit" in each.cmdline())
    verb.kill()
    first.communicate()
    assert "was killed; waiting" in deployed.succeed("deploy")
    assert not sleep.is_running()
    load.await_more(20)


def test_full_disk_changes_nothing(deployed: Stack, new_stack: StartStack) -> None:
    """A deployment without room for its release fails, and the replicas serve on."""
    mount = shutil.which("mount") if os.geteuid() == 0 else None
    guest = new_stack(REPLICAS="2", WORKERS="1")
    disk = ("-t", "tmpfs", "-o", "size=12m,mode=0700", "none", str(guest.state_dir))
    if not mount or subprocess.call([mount, *disk], stderr=subprocess.DEVNULL):
        pytest.skip("not run: this machine does not let the test mount a small disk")
    try:
        guest.checkout = deployed.checkout
        # A store elsewhere: a deployment is tried, and no store without a disk.
        guest.up(REDIS_URL=f"unix://{deployed.folder.sockets}/valkey.sock?db=1")
        before = guest.running()
        with steady_load(guest, visitors=2) as load:
            _fill(guest.state_dir / "filler")
            _write(deployed, "# no room")
            assert "the disk is full" in guest.fail("deploy")
            load.await_more(20)
            assert guest.running() == before
            (guest.state_dir / "filler").unlink()
            guest.succeed("deploy")
            load.await_more(20)
        assert load.failures == []
        guest.down()
    finally:
        for process in guest.processes():
            process.kill()
        subprocess.run([shutil.which("umount") or "umount", "-l", guest.state_dir], check=True)
        guest.state_dir.rmdir()
        _write(deployed, "")


def _fill(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()


def test_reboot_in_the_middle(deployed: Stack) -> None:
    """If all processes end in the middle of a deployment, `make up` starts the new release."""
    deployed.succeed("deploy")
    browser = deployed.browser()
    browser.add("tea", 2)
    with deployed.store() as store:
        wait_until(lambda: store.info("persistence")["aof_buffer_length"] == 0, "all is written")
    _write(deployed, "# before a reboot")
    assert deployed.verb("deploy", KILL_AT="40")[0]
    for process in deployed.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until(lambda: not deployed.processes(), "all are gone")
    deployed.up()
    assert browser.cart() == {"tea": 2}
    assert len(_serving(deployed)) == 1
    _assert_all_is_named(deployed)


def main() -> None:
    """Kill a deployment after each of its steps, and print what visitors met."""
    with tempfile.TemporaryDirectory() as checkout, tempfile.TemporaryDirectory() as state:
        settings = {"REPLICAS": "2", "WORKERS": "1"}
        stack = _stack_in(Path(checkout), Stack(Path(state), free_port(), settings, ROOT))
        number, stride = (int(word) for word in (*sys.argv[1:], "1", "1")[:2])
        try:
            with steady_load(stack, visitors=2) as load:
                while _try_step(stack, number):
                    load.await_more(20)
                    sys.stdout.write(f"{number}: {load.answered} answered, {load.failures}\n")
                    sys.stdout.flush()
                    number += stride
        finally:
            sys.stdout.write(stack.dispose())
            Path(state).mkdir(exist_ok=True)
    sys.stdout.write(
        f"{number} is behind the last step: {load.answered} answered, {load.failures}\n"
    )
    sys.exit(bool(load.failures))


if __name__ == "__main__":
    main()
