"""Three hosts for a Swarm, each in a container, and the commands of a page for them."""

import os
import re
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

from tests.support.ports import free_port
from tests.support.stacks.containers import docker
from tests.support.stacks.node import Node

HOSTS = ("web-1", "web-2", "web-3")
SIZE = len(HOSTS)
_PORT = 8080


class Swarm:
    """Three hosts on one network, which a page makes a Swarm; each one's port 8080 is here, too.

    Args:
        folder: an empty folder with a short path.

    Attributes:
        nodes: the hosts, in the order of `HOSTS`.
        ports: of each host's port 8080, on 127.0.0.1.
        addresses: of the hosts, on their network.

    Raises:
        AssertionError: it does not start.
    """

    def __init__(self, folder: Path) -> None:
        self.network = f"swarm-{secrets.token_hex(4)}"
        self._folder = folder
        self.nodes: list[Node] = []
        self.ports: dict[Node, int] = {}
        self.addresses: dict[Node, str] = {}
        with ExitStack() as made:
            made.callback(self.dispose)
            # Hosts keep their addresses only where the range is not left to the engine.
            docker("network", "create", self.network)
            form = "--format={{range .IPAM.Config}}{{.Subnet}}{{end}}"
            subnet = docker("network", "inspect", form, self.network)
            docker("network", "rm", self.network)
            docker("network", "create", f"--subnet={subnet}", self.network)
            self._addresses = ip_network(subnet).hosts()
            next(self._addresses)  # the gateway's
            for host in HOSTS:
                self._add(folder / host)
            made.pop_all()

    def run(self, script: str, manager: Node, folder: Path, environ: Mapping[str, str]) -> str:
        """Run commands of a page, with the addresses and sockets that are here.

        Args:
            script: the commands.
            manager: the host whose context is the current one.
            folder: where they run.
            environ: more variables.

        Returns:
            What they printed.

        Raises:
            AssertionError: one failed.
        """
        here = {
            "192.0.2.11": self.addresses[self.nodes[0]],
            "ssh://me@$host.example.org": f"unix://{self._folder}/$host/engine.sock",
        }
        fitted = re.sub("|".join(map(re.escape, here)), lambda found: here[found[0]], script)
        context = HOSTS[self.nodes.index(manager)]
        contexts = {"DOCKER_CONFIG": str(self._folder), "DOCKER_CONTEXT": context}
        done = subprocess.run(
            ["sh", "-euc", fitted],
            cwd=folder,
            text=True,
            check=False,
            capture_output=True,
            env={**os.environ, **contexts, **environ},
            timeout=400,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def load(self, *images: str) -> None:
        """Bring images to all hosts, without a registry."""
        with ThreadPoolExecutor(SIZE) as pool:
            list(pool.map(lambda node: node.load(*images), self.nodes))

    def running(self, manager: Node, service: str) -> Sequence[str]:
        """Return the hosts on which tasks of a service should run and do."""
        form = "--format={{.CurrentState}} {{.Node}}"
        shown = manager.docker("service", "ps", service, "--filter=desired-state=running", form)
        words = [line.split() for line in shown.splitlines()]
        return sorted(each[-1] for each in words if each[0] == "Running")

    def dispose(self) -> None:
        """Remove the hosts with all that they have."""
        for node in self.nodes:
            node.dispose()
        docker("network", "rm", "--force", self.network)

    def _add(self, folder: Path) -> None:
        folder.mkdir()
        port, address = free_port(), next(self._addresses)
        published = f"--publish=127.0.0.1:{port}:{_PORT}"
        node = Node(folder, published, f"--network={self.network}", f"--ip={address}")
        self.nodes.append(node)
        self.ports[node], self.addresses[node] = port, str(address)
