"""What cannot be started is refused before anything is, with a sentence that says what to do."""

import socket

import pytest

from tests.stack.containers.conftest import StartContainers
from tests.support.containers import ContainerStack
from tests.support.ports import free_port


@pytest.fixture(name="refused", scope="module")
def _refused(new_stack: StartContainers) -> ContainerStack:
    """Containers that no test of this module gets to start."""
    return new_stack(OVERLAYS="tls", TLS_PORT=str(free_port()))


@pytest.mark.parametrize("name", ["PORT", "TLS_PORT"])
def test_a_taken_port(refused: ContainerStack, name: str) -> None:
    """A port that another program has is named, and the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        printed = refused.fail("up", **{name: str(port)})
    assert f"Port {port} of 127.0.0.1 is in use" in printed
    assert f"make up RUNTIME=docker {name}=" in printed
    assert refused.inspect("redis") == []


# No host has such a name (RFC 6761), so that no registry is asked.
@pytest.mark.parametrize("name", ["PYTHON_IMAGE", "NGINX_IMAGE", "REDIS_IMAGE"])
def test_an_image_that_is_not_to_be_had(refused: ContainerStack, name: str) -> None:
    """An image that can be neither found nor pulled is named, and the setting to change."""
    printed = refused.fail("up", **{name: "registry.invalid/image:1"})
    assert "is not to be had" in printed
    assert "registry.invalid/image:1" in printed
    assert name in printed.partition("mend it:")[2]
    assert refused.inspect("redis") == []
