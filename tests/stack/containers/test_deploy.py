"""`compose/deploy` under a load of every method: whatever happens, no request is lost."""

import re
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.containers.standalone import BROKEN, SMOKE, WRONG, Project, Visits, visitors
from tests.support.ports import free_port
from tests.support.stacks.containers import docker, require_engine
from tests.support.waiting import wait_until

# Seconds until a replica that never gets ready is given up.
_SOON = {"READY_TIMEOUT": "10"}


@pytest.fixture(name="visits", scope="module")
def _visits(project: Project) -> Iterator[Visits]:
    """Visitors during all tests of this module."""
    with visitors(project.port) as visits:
        yield visits


@pytest.fixture(name="project", scope="module")
def _project(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """An application with two replicas, which serve its release `first`."""
    require_engine()
    project = Project(tmp_path_factory.mktemp("p"), checkout)
    try:
        # There is no release yet that a smoke test could protect.
        project.release("first", SMOKE_COMMAND="exit 1")
        yield project
    finally:
        project.dispose()


@pytest.fixture(autouse=True)
def _nothing_is_lost(project: Project, visits: Visits) -> Iterator[None]:
    """Whatever a test does, two replicas serve afterwards, and no visitor has noticed."""
    yield
    assert not visits.lost[:10]
    assert [*project.replicas().values()] == ["running"] * 2


def test_same_content_deploys_nothing(project: Project) -> None:
    """A second run changes no container."""
    before = project.replicas()
    status, printed = project.deploy()
    assert (status, project.replicas()) == (0, before), printed
    assert "nothing to deploy" in printed


def test_no_file_of_the_kit_is_public(project: Project) -> None:
    """Below the path of static files, too, the application answers unless it has set a folder."""
    for name in ("redis.conf", "kustomization.yaml", "templates/nginx.conf.template"):
        assert project.ask("GET", path=f"/static/{name}") == (200, "first GET 0")


def test_release_and_rollback(project: Project) -> None:
    """A release runs its command once and serves; the rollback runs none and takes it back."""
    project.release("good", RELEASE_COMMAND='echo "$APP" >>instance/commands')
    assert project.serving() == {"good": 12}
    status, printed = project.deploy("rollback", RELEASE_COMMAND="exit 1")
    assert (status, project.serving()) == (0, {"first": 12}), printed
    assert project.inside("cat", "instance/commands") == "app:app"


@pytest.mark.parametrize(
    ("kind", "good"), [("does not import", 0), ("never ready", 1), ("dies after a second", 1)]
)
def test_broken_release_changes_nothing(project: Project, kind: str, good: int) -> None:
    """After so many exchanges, as many old replicas start again; the end says what failed."""
    serving = project.serving()
    project.write(kind.replace(" ", "-"), BROKEN[kind], good)
    # Where docker takes its time, the first look at a healthy replica could be the only one.
    status, printed = project.deploy(**_SOON, DEPLOY_SLOW="top" if kind.startswith("dies") else "")
    assert (status, project.serving()) == (1, serving), printed
    assert printed.partition("going back")[0].count("is ready") == good
    # Of a replica that ends, its workers may be missed first; or it may run again.
    ended = r"app-\d+ (ended( \(exit code 0\))?|lost a worker)\. Its last words"
    said = {"does not import": "No module named 'no_such_module'", "never ready": "503"}
    assert re.search(said.get(kind, ended), printed), printed


def test_failing_release_command_changes_nothing(project: Project) -> None:
    """No replica of the release starts, and the command's last words are shown."""
    before = project.replicas()
    project.write("unmigrated")
    status, printed = project.deploy(RELEASE_COMMAND="echo no such table; exit 3")
    assert (status, project.replicas()) == (1, before), printed
    assert "error: the release command failed:\n    no such table" in printed


@pytest.mark.parametrize(("asked", "name"), [("app-", "SMOKE_COMMAND"), ("nginx", "DEPLOY_SMOKE")])
def test_release_that_answers_wrong_is_undone(project: Project, asked: str, name: str) -> None:
    """The smoke test asks the first new replica, then nginx; its last words are shown."""
    serving = project.serving()
    project.write(f"wrong-{name}", WRONG[asked])
    status, printed = project.deploy(**{name: SMOKE})
    assert (status, project.serving()) == (1, serving), printed
    assert f"error: smoke test of {asked}" in printed
    assert "AssertionError: wrong" in printed
    assert printed.splitlines().count("60 good answers") == (asked == "nginx")
    assert printed.count("stopped") == 1


def test_two_deployments_at_once(project: Project) -> None:
    """The second is refused while the first goes on."""
    project.write("alone")
    first = project.start()
    try:
        assert first.stdout
        assert first.stdout.readline().startswith("building")
        status, printed = project.deploy("rollback")
        assert status == 1
        assert f"error: another deployment of {project.name} runs\n  hint: wait" in printed
        printed, _ = first.communicate()
        assert (first.returncode, project.serving()) == (0, {"alone": 12}), printed
    finally:
        first.kill()


def test_interrupt_goes_back(project: Project) -> None:
    """Ctrl-C after the first exchange: the old replica starts again."""
    serving = project.serving()
    project.write("interrupted")
    status, printed = project.deploy(DEPLOY_KILL="after INT 1 stop")
    assert (status, project.serving()) == (1, serving), printed
    assert "error: interrupted by SIGINT" in printed


@pytest.mark.parametrize(
    ("at", "verb"),
    # A spread; `deploys.py` has all.
    [
        ("after 1 start", "rollback"),
        ("after 12 change", "rollback"),
        ("after 1 stop", "up"),
        ("after 7 change", "up"),
        ("before 1 rm", "up"),
    ],
)
def test_next_run_goes_on_after_kill(project: Project, at: str, verb: str) -> None:
    """What a killed run left serves on, and the next run finishes it, or undoes it."""
    (last,) = project.serving()
    release = at.replace(" ", "-")
    project.write(release)
    when, number, word = at.split()
    project.killed(f"{when} KILL {number} {word}")
    assert project.serving() <= Counter({last: 12, release: 12})
    status, printed = project.deploy(verb)
    expected = last if verb == "rollback" else release
    assert (status, project.serving()) == (0, {expected: 12}), printed


def test_number_of_replicas(project: Project) -> None:
    """More replicas start beside the others, and fewer stop, without a change of the rest."""
    before = project.replicas()
    # It is no other release, so that no smoke test runs.
    assert project.deploy(REPLICAS="4", SURGE="2", SMOKE_COMMAND="exit 1")[0] == 0
    assert before.items() < project.replicas().items()
    assert len(project.replicas()) == 4
    assert project.deploy()[0] == 0
    assert project.replicas() == before


def test_changed_secret(project: Project) -> None:
    """The content of a file alone, which Compose does not see, exchanges the replicas."""
    before = project.replicas()
    path = project.folder / "blog" / "deploy" / "secrets" / "secret_key"
    path.unlink()
    path.write_text("changed")
    path.chmod(0o444)
    assert project.deploy(SMOKE_COMMAND="exit 1")[0] == 1
    assert project.replicas() == before
    assert project.deploy()[0] == 0
    assert project.inside("cat", "/run/secrets/secret_key") == "changed"
    assert not before.items() & project.replicas().items()
    assert "nothing to deploy" in project.deploy()[1]


def test_number_of_workers(project: Project) -> None:
    """It exchanges the replicas, but is no other release, so that no smoke test runs."""
    assert project.deploy(WORKERS="1", SMOKE_COMMAND="exit 1")[0] == 0
    assert project.deploy(SMOKE_COMMAND="exit 1")[0] == 0


def test_variables_of_nginx(project: Project, visits: Visits) -> None:
    """New variables reach nginx without a restart, and outlive one."""
    nginx = project.containers("nginx")
    assert project.deploy(NGINX_GZIP="off")[0] == 0
    assert not visits.lost

    def gzip() -> bool:
        return "gzip off" in project.inside("cat", "/etc/nginx/conf.d/client.conf", service="nginx")

    assert gzip()
    docker("restart", *nginx)
    wait_until(gzip, "nginx after its restart", 30)
    # Another change replaces nginx, and says so.
    status, printed = project.deploy(NGINX_GZIP="off", NGINX_MEMORY="400m")
    assert status == 0, printed
    assert "nginx is replaced" in printed
    assert project.containers("nginx") != nginx
    assert project.deploy(NGINX_GZIP="off")[0] == 0
    assert gzip()
    # The replicas that it found at its start are backup servers, and not what `deploy` named.
    docker("restart", *project.containers("nginx"))
    wait_until(gzip, "nginx after its restart", 30)
    replicas = project.replicas()
    assert "nothing to deploy" in project.deploy(NGINX_GZIP="off")[1]
    assert project.replicas() == replicas
    # Nobody can connect to an nginx that does not run.
    visits.lost.clear()


def test_a_new_nginx_waits_for_no_name(project: Project) -> None:
    """It sends its first request on, even if the engine's DNS does not answer it yet."""
    silent = "resolver 127.0.0.1:9; server app:8000 resolve max_fails=0;"
    file, folder = project.folder / "blog" / "deploy" / "compose.yaml", "/etc/nginx/conf.d"
    variables = (f"--env=NGINX_UPSTREAM_SERVERS={silent}", f"--env=NGINX_RUN_DIR={folder}")
    run = ("compose", f"--file={file}", "run", "--detach", "--no-deps", *variables)
    new = docker(*run, f"--name={project.name}-new", "nginx")
    ask = ("curl", "--noproxy", "*", "-s", "-w", " %{http_code}", "http://127.0.0.1:8080/")
    try:
        said = wait_until(lambda: docker("exec", new, *ask), "nginx", ignoring=AssertionError)
        assert said.endswith("GET 0 200")
    finally:
        docker("rm", "--force", "--volumes", new)


def test_worker_and_scheduler(project: Project) -> None:
    """A worker does jobs; one that ends is no release: the former one is put back."""
    variables = {
        "COMPOSE_PROFILES": "worker",
        "WORKER_COMMAND": "python worker.py",
        "SCHEDULER_COMMAND": "while sleep 0.2; do echo tick >>instance/ticks; done",
    }
    worker = project.folder / "blog" / "worker.py"
    worker.write_text("""
import pathlib, time
while True:
    for job in pathlib.Path("instance").glob("*.job"):
        job.write_text(str(sum(map(int, job.read_text().split()))))
        job.rename(job.with_suffix(".done"))
    time.sleep(0.1)
""")
    project.release("works", **variables)

    def job(name: str) -> None:
        project.inside(
            "sh", "-c", f"echo 40 2 >instance/{name} && mv instance/{name} instance/{name}.job"
        )
        wait_until(
            lambda: project.inside("sh", "-c", f"cat instance/{name}.done || true"), name, 30
        )
        assert project.inside("cat", f"instance/{name}.done") == "42"

    job("first")
    assert "tick" in project.inside("cat", "instance/ticks")
    assert len(project.containers("scheduler")) == 1
    serving = project.serving()
    worker.write_text("raise SystemExit('no such queue')")
    project.write("worker-ends")
    status, printed = project.deploy(**variables)
    assert (status, project.serving()) == (1, serving), printed
    assert re.search(r"error: worker-1 ended( \(exit code 1\))?\.", printed)
    assert "no such queue" in printed
    job("second")


def test_wrong_surroundings_are_named(project: Project, tmp_path: Path) -> None:
    """No engine, compose.yaml or address, a taken port or name: an error and a hint, no change."""
    before = project.replicas()

    def refused(problem: str, **variables: str) -> None:
        status, printed = project.deploy(**variables)
        assert status == 1
        assert f"error: {problem}" in printed
        assert "\n  hint: " in printed

    refused("no Docker engine answers", DOCKER_HOST=f"tcp://127.0.0.1:{free_port()}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused("a port is taken", PORT=str(port))
    refused("the host has no such address", BIND_ADDRESS="203.0.113.7")
    other = Project(tmp_path, project.checkout)
    other.name = project.name
    status, printed = other.deploy(COMPOSE_PROJECT_NAME=project.name)
    assert status == 1
    assert f"has another stack called {project.name}" in printed
    (other.folder / "blog" / "deploy" / "compose.yaml").unlink()
    status, printed = other.deploy()
    assert status == 1
    assert "error: there is no compose.yaml" in printed
    assert project.replicas() == before
