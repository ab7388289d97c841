"""What cannot start is refused before anything starts, with a hint."""

import socket

import pytest

from tests.support.ports import free_port
from tests.support.stacks.containers import ContainerStack, StartContainers


@pytest.fixture(name="refused", scope="module")
def _refused(new_stack: StartContainers) -> ContainerStack:
    """Containers that no test of this module starts."""
    return new_stack(OVERLAYS="tls", TLS_PORT=str(free_port()))


@pytest.mark.parametrize("name", ["PORT", "TLS_PORT"])
def test_taken_port_starts_nothing(refused: ContainerStack, name: str) -> None:
    """A port that another program uses is named, with the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        printed = refused.fail("up", **{name: str(port)})
    assert f"port {port} of 127.0.0.1 is in use" in printed
    assert f"make up RUNTIME=docker {name}=" in printed
    assert refused.inspect("redis") == []


# No host has such a name (RFC 6761), so that no registry is asked.
@pytest.mark.parametrize("name", ["PYTHON_IMAGE", "NGINX_IMAGE", "REDIS_IMAGE"])
def test_missing_image_starts_nothing(refused: ContainerStack, name: str) -> None:
    """An image that cannot be pulled is named, with the setting to change."""
    printed = refused.fail("up", **{name: "registry.invalid/image:1"})
    assert "error: cannot pull" in printed
    assert "registry.invalid/image:1" in printed
    assert name in printed.partition("hint:")[2]
    assert refused.inspect("redis") == []
