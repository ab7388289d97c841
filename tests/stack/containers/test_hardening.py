"""What the containers really are, as the engine says: named checks, after Docker's own bench."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.stacks.containers import ContainerStack, docker

Container = dict[str, Any]

_SERVICES = ("app", "nginx", "redis")
_NETWORKS = {"app": {"front", "back"}, "nginx": {"front"}, "redis": {"back"}}
_USERS = {"app": "10001:10001", "nginx": "101", "redis": "999:999"}
_DEFAULT = "unconfined"


# The number is that of the section in Docker's bench, where it has one.
_CHECKS: dict[str, Callable[[Container], bool]] = {
    "4.1 is not root": lambda it: it["Config"]["User"].partition(":")[0] not in {"", "0", "root"},
    "4.6 has a health check": lambda it: bool(it["Config"]["Healthcheck"]["Test"]),
    "5.2 keeps seccomp": lambda it: not any(_DEFAULT in o for o in it["HostConfig"]["SecurityOpt"]),
    "5.3 has no capability": lambda it: it["HostConfig"]["CapDrop"] == ["ALL"],
    "5.3 gets none back": lambda it: not it["HostConfig"]["CapAdd"],
    "5.4 is not privileged": lambda it: it["HostConfig"]["Privileged"] is False,
    "5.5 mounts no folder of the system": lambda it: (
        not any(
            mount["Source"] in {"/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr"}
            for mount in it["Mounts"]
        )
    ),
    "5.8 publishes on 127.0.0.1 only": lambda it: all(
        binding["HostIp"] == "127.0.0.1"
        for bindings in (it["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings
    ),
    "5.9 has a network of its own": lambda it: it["HostConfig"]["NetworkMode"] != "host",
    "5.10 has a limit of memory": lambda it: it["HostConfig"]["Memory"] > 0,
    "5.11 has a limit of processor": lambda it: it["HostConfig"]["NanoCpus"] > 0,
    "5.12 has a read-only root": lambda it: it["HostConfig"]["ReadonlyRootfs"] is True,
    "5.12 mounts nothing of the host to write": lambda it: (
        not any(mount["Type"] == "bind" and mount["RW"] for mount in it["Mounts"])
    ),
    "5.14 comes back after a crash": lambda it: (
        it["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    ),
    "5.15 shares no processes": lambda it: it["HostConfig"]["PidMode"] == "",
    "5.16 shares no memory": lambda it: it["HostConfig"]["IpcMode"] in {"", "private"},
    "5.17 has no device": lambda it: not it["HostConfig"]["Devices"],
    "5.20 shares no host name": lambda it: it["HostConfig"]["UTSMode"] == "",
    "5.25 gives nobody more rights": lambda it: (
        "no-new-privileges:true" in it["HostConfig"]["SecurityOpt"]
    ),
    "5.26 is healthy": lambda it: it["State"]["Health"]["Status"] == "healthy",
    "5.28 has a limit of processes": lambda it: 0 < it["HostConfig"]["PidsLimit"] <= 256,
    "5.29 is not on the default bridge": lambda it: (
        "bridge" not in it["NetworkSettings"]["Networks"]
    ),
    "5.30 shares no users": lambda it: it["HostConfig"]["UsernsMode"] == "",
    "5.31 has no engine's socket": lambda it: (
        not any("docker.sock" in mount["Source"] for mount in it["Mounts"])
    ),
    "its log is rotated": lambda it: (
        {"max-size", "max-file"} <= it["HostConfig"]["LogConfig"]["Config"].keys()
    ),
    "has time to end": lambda it: it["Config"]["StopTimeout"] >= 30,
}


@pytest.mark.parametrize("service", _SERVICES)
@pytest.mark.parametrize("check", _CHECKS)
def test_container_is_hardened(stack: ContainerStack, service: str, check: str) -> None:
    """Every container of each service passes the named check."""
    containers = stack.inspect(service)
    assert containers
    assert all(_CHECKS[check](container) for container in containers)


@pytest.mark.parametrize("service", _SERVICES)
def test_container_runs_unprivileged(stack: ContainerStack, service: str) -> None:
    """Each service has a user of its own, and its first process has no capability at all."""
    for container in stack.inspect(service):
        assert container["Config"]["User"] == _USERS[service]
        status = docker("exec", container["Id"], "cat", "/proc/1/status")
        lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert lines["Uid"].split() == [_USERS[service].partition(":")[0]] * 4
        assert int(lines["CapEff"], 16) == int(lines["CapPrm"], 16) == 0
        assert lines["NoNewPrivs"] == "1"


@pytest.mark.parametrize("service", _SERVICES)
def test_container_is_in_its_networks_only(stack: ContainerStack, service: str) -> None:
    """Each container is in the networks it needs; the store's leads nowhere, nginx is published."""
    for container in stack.inspect(service):
        names = container["NetworkSettings"]["Networks"]
        assert {name.removeprefix(f"{stack.project}_") for name in names} == _NETWORKS[service]
        published = container["HostConfig"]["PortBindings"] or {}
        assert set(published) == ({"8080/tcp"} if service == "nginx" else set())
        for name in names:
            (network,) = json.loads(docker("network", "inspect", name))
            assert network["Internal"] is name.endswith("_back")


def _secrets(stack: ContainerStack) -> list[str]:
    texts = {path.name: path.read_text() for path in stack.folder.secrets.iterdir()}
    password = texts["redis_url"].partition("shop:")[2].partition("@")[0]
    return [texts["secret_key"], texts["redis_health_password"], password]


@pytest.mark.parametrize("service", _SERVICES)
def test_engine_shows_no_secret(stack: ContainerStack, service: str) -> None:
    """No secret is in what the engine shows of a container, its image, or the image's history."""
    container = stack.inspect(service)[0]
    shown = "\n".join([
        json.dumps(container),
        docker("image", "inspect", container["Image"]),
        docker("history", "--no-trunc", "--format", "{{json .}}", container["Image"]),
        docker("top", container["Id"], "-eo", "pid,args"),
    ])  # fmt: skip
    assert [secret for secret in _secrets(stack) if secret in shown] == []


def test_code_is_read_only(stack: ContainerStack) -> None:
    """The application's user owns no file of the image, and pip is not there to install any."""
    container = stack.inspect("app")[0]["Id"]
    own = "import os,sys; sys.exit(any(os.stat(os.path.join(d, f), follow_symlinks=False).st_uid "
    own += "== 10001 for d, _, fs in os.walk(sys.argv[1]) for f in fs))"
    for folder in ("/srv", "/opt"):
        docker("exec", container, "python", "-c", own, folder)
    docker("exec", container, "python", "-c", "import importlib.util as u, sys; "
           "sys.exit(u.find_spec('pip') is not None)")  # fmt: skip
