"""The verbs with RUNTIME=docker: the tests for both runtimes, and those of containers alone."""

import inspect
import stat
from pathlib import Path

import pytest

from tests.kit import test_verbs
from tests.support.stacks.containers import ContainerStack, StartContainers, docker

globals().update({
    name: test
    for name, test in vars(test_verbs).items()
    if name == "fresh_stack"
    or (name.startswith("test_") and "fresh" in inspect.signature(test).parameters)
})  # fmt: skip


@pytest.fixture(name="tidy")
def _tidy(fresh: ContainerStack) -> ContainerStack:
    """The stack of this module, running as it was started first."""
    fresh.up()
    return fresh


def test_secrets_are_private_files(tidy: ContainerStack) -> None:
    """Secrets are files in a folder that only their owner can enter."""
    folder = tidy.folder.secrets
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name for path in folder.iterdir()} == {
        "secret_key", "redis_url", "redis_users", ".redis_users.loaded", "redis_health_password",
        "sentinel_password", "sentinel_url", "sentinel_users",
    }  # fmt: skip


def test_containers_mount_nothing_of_the_checkout(tidy: ContainerStack) -> None:
    """A container that restarts finds its files, even if the checkout has moved or changed."""
    sources = {
        mount["Source"]
        for service in ("nginx", "app", "redis")
        for entry in tidy.inspect(service)
        for mount in entry["Mounts"]
        if mount["Type"] == "bind"
    }
    assert len(sources) >= 2
    assert [source for source in sources if not source.startswith(f"{tidy.state_dir}/")] == []


def test_local_runtime_refuses_the_folder(tidy: ContainerStack, tmp_path: Path) -> None:
    """The local runtime refuses a folder with containers at once, and names their project."""
    assert tidy.project in tidy.fail("up", RUNTIME="local", VENV_DIR=str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert tidy.project in tidy.fail("clean", RUNTIME="local")
    assert "RUNTIME=docker" in tidy.succeed("status", RUNTIME="local")
    assert tidy.is_ready()


def test_clean_leaves_nothing_in_the_engine(new_stack: StartContainers) -> None:
    """`make clean` leaves no container, volume, network, image or folder."""
    stack = new_stack(REPLICAS="1", WORKERS="1")
    stack.up()
    project = stack.project
    stack.succeed("clean")
    mine = f"label=com.docker.compose.project={project}"
    for kind in ("container", "volume", "network"):
        everything = ["--all"] if kind == "container" else []
        assert docker(kind, "ls", "--quiet", *everything, "--filter", mine) == ""
    assert docker("image", "ls", "--quiet", f"{project}/app") == ""
    assert not stack.state_dir.exists()
