"""`make deploy` and `make rollback` of containers under load: whatever happens, nothing is lost.

The script that they call has its own tests: `tests/stack/containers/test_deploy.py`.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.conftest import copy_checkout
from tests.support.checkout import ROOT
from tests.support.stacks.containers import ContainerStack, StartContainers, docker
from tests.support.stacks.load import Load, steady_load

_LOSES_ADDS = """
from itertools import count
from unsticky.maps import SessionMap
incr, calls = SessionMap.incr, count(1)
def forget(self, key, delta=1, **more):
    return incr(self, key, delta, **more) if next(calls) % 50 else self.get(key, 0) + delta
SessionMap.incr = forget
"""


@pytest.fixture(name="deployed", scope="module")
def _deployed(new_stack: StartContainers) -> Iterator[ContainerStack]:
    """A stack of two replicas in a checkout of its own."""
    with tempfile.TemporaryDirectory(prefix="checkout-") as folder:
        stack = new_stack(REPLICAS="2", WORKERS="1", READY_TIMEOUT="30")
        stack.checkout = Path(folder)
        copy_checkout(stack.checkout)
        kill = ROOT / "tests/support/stacks/kill_at_step.py"
        shutil.copy(kill, stack.checkout / "compose/sitecustomize.py")
        stack.up()
        yield stack
        assert not stack.dispose()


@pytest.fixture(name="load")
def _load(deployed: ContainerStack) -> Iterator[Load]:
    """Visitors during a test; none of them meets anything wrong, and two replicas serve then."""
    with steady_load(deployed, visitors=2) as load:
        yield load
        load.await_more(20)
    assert load.failures == []
    assert len(deployed.replicas()) == 2


def _write(stack: ContainerStack, line: str) -> None:
    """Make the code another one, or with an empty line that of the beginning."""
    source = (ROOT / "app/shop/__init__.py").read_text(encoding="utf-8")
    text = f"{source}\n{line}\n" if line else source
    (stack.checkout / "app/shop/__init__.py").write_text(text, encoding="utf-8")


def _images(stack: ContainerStack) -> set[str]:
    return {entry["Image"] for entry in stack.inspect("app") if entry["State"]["Running"]}


def _template(stack: ContainerStack) -> Path:
    return stack.checkout / "nginx/server.conf.template"


def _in_nginx(stack: ContainerStack) -> str:
    return docker("exec", stack.inspect("nginx")[0]["Id"], "cat", "/etc/nginx/conf.d/server.conf")


def test_smoke_test_passes_and_rollback_has_none(deployed: ContainerStack, load: Load) -> None:
    """Visitors try a release twice; the rollback takes it back and asks nobody."""
    first = _images(deployed)
    _write(deployed, "# second")
    printed = deployed.succeed("deploy", SMOKE_SECONDS="5")
    assert printed.count("smoke test passed") == 2
    assert not first & _images(deployed)
    shown = [line.split() for line in deployed.succeed("releases").splitlines()]
    assert [(words[0], words[-1] == "serves") for words in shown] == [("r2", True), ("r1", False)]
    load.await_more(20)
    printed = deployed.succeed("rollback", SMOKE_SECONDS="5", RELEASE_COMMAND="exit 1")
    assert "smoke test" not in printed
    assert _images(deployed) == first
    assert "there is no earlier release" in deployed.fail("rollback")


def test_lost_adds_undo_the_release(deployed: ContainerStack, load: Load) -> None:
    """A release that forgets adds is undone by the kit's own smoke test, which leaves nobody."""
    before = deployed.running()
    _write(deployed, _LOSES_ADDS)
    printed = deployed.fail("deploy", SMOKE_SECONDS="5")
    assert "lost update" in printed
    assert "the replicas that ran before go on serving" in printed
    load.await_more(20)
    assert deployed.running() == before
    _write(deployed, "")


def test_lost_worker_undoes_the_release(deployed: ContainerStack, load: Load) -> None:
    """Gunicorn replaces a worker that ends, so that its container stays healthy."""
    before = deployed.running()
    _write(deployed, "import os, threading; threading.Timer(2, os._exit, [1]).start()")
    assert "lost a worker" in deployed.fail("deploy")
    load.await_more(20)
    assert deployed.running() == before
    _write(deployed, "")


def test_changed_template_loses_nothing(deployed: ContainerStack, load: Load) -> None:
    """A new template goes into the running nginx; one that it refuses changes nothing."""
    template, nginx = _template(deployed), deployed.running()["nginx"]
    text = template.read_text(encoding="utf-8")
    template.write_text(text.replace("server {", "server {\n    add_header X-New 1;", 1))
    deployed.succeed("deploy")
    load.await_more(20)
    before, changed = deployed.running(), _in_nginx(deployed)
    assert "X-New" in changed
    assert before["nginx"] == nginx
    template.write_text(f"{text}\nnonsense;\n", encoding="utf-8")
    _write(deployed, "# with a wrong template")
    assert "nonsense" in deployed.fail("deploy")
    # So that nginx can start again.
    mounted = (deployed.folder.templates / template.name).read_text(encoding="utf-8")
    assert "nonsense" not in mounted
    load.await_more(20)
    assert (deployed.running(), _in_nginx(deployed)) == (before, changed)
    template.write_text(text, encoding="utf-8")
    _write(deployed, "")
    deployed.succeed("deploy")


def test_passwords_change_while_the_store_runs(deployed: ContainerStack, load: Load) -> None:
    """The store accepts a former password until `retire`, and never restarts."""
    store, secrets = deployed.running()["redis"], deployed.folder.secrets
    script = deployed.checkout / "compose/secrets.sh"
    former = _password(deployed)
    for step in ("next", "use", "retire"):
        assert _is_accepted(deployed, former)
        subprocess.run(["sh", script, step, secrets], check=True, capture_output=True)
        deployed.succeed("deploy")
        load.await_more(20)
    assert _password(deployed) != former
    assert _is_accepted(deployed, _password(deployed))
    assert not _is_accepted(deployed, former)
    assert deployed.running()["redis"] == store


def _password(stack: ContainerStack) -> str:
    return urlsplit((stack.folder.secrets / "redis_url").read_text()).password or ""


def _is_accepted(stack: ContainerStack, password: str) -> bool:
    server = stack.inspect("redis")[0]["Id"]
    login = (f"--env=REDISCLI_AUTH={password}", server, "redis-cli", "--user", "shop")
    return docker("exec", *login, "ping").endswith("PONG")


def test_killed_deployments_lose_nothing(deployed: ContainerStack, load: Load) -> None:
    """Each deployment goes on from where the one before was killed, and the last one finishes."""
    before, template = _images(deployed), _template(deployed)
    text = template.read_text(encoding="utf-8")
    template.write_text(f"{text}\nnonsense;\n", encoding="utf-8")
    assert deployed.verb("deploy", KILL_AT="1", KILL_ON="Project._write_templates")[0]
    template.write_text(text, encoding="utf-8")
    _write(deployed, "# killed")
    for line in ("building", "stopped app-"):
        _kill_after(deployed, line)
        load.await_more(20)
    deployed.succeed("deploy")
    assert not before & _images(deployed)
    assert len(_images(deployed)) == 1


def test_killed_smoke_test_leaves_nobody(deployed: ContainerStack, load: Load) -> None:
    """The visitors of a deployment that is killed leave, and the next verb undoes it."""
    before = _images(deployed)
    _write(deployed, "# killed among visitors")
    _kill_after(deployed, "smoke test of app-", SMOKE_SECONDS="60")
    load.await_more(20)
    deployed.succeed("restart")
    assert _images(deployed) == before
    _write(deployed, "")


def _kill_after(stack: ContainerStack, line: str, **settings: str) -> None:
    """Kill a deployment with all its processes once it prints a line that begins so.

    The engine's programs work on; wait until these and the visitors have ended.
    """
    verb = stack.start_verb("deploy", **settings)
    assert verb.stdout is not None
    printed = []
    for each in verb.stdout:
        printed.append(each)
        if each.strip().startswith(line):
            break
    else:
        raise AssertionError("".join(printed))
    family = psutil.Process(verb.pid).children(recursive=True)
    os.killpg(verb.pid, signal.SIGKILL)
    verb.communicate()
    _, left = psutil.wait_procs(family, 30)
    assert [each.cmdline() for each in left] == []
