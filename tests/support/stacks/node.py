"""Another host: a Docker engine with files of its own, in a privileged container."""

import os
import secrets
import subprocess
from pathlib import Path

from tests.support.stacks.containers import docker
from tests.support.waiting import wait_until

ENGINE_IMAGE = os.environ.get("ENGINE_IMAGE") or "docker:28-dind"


class Node:
    """A host whose engine answers on a socket that this machine has, too.

    Args:
        folder: an empty folder, for the socket.
        options: of `docker run`, such as ports or a network.

    Raises:
        AssertionError: it does not start.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.name = f"node-{secrets.token_hex(4)}"
        self.host = f"unix://{folder}/engine.sock"
        try:
            docker(
                "run", "--detach", "--privileged", f"--name={self.name}", f"--hostname={self.name}",
                f"--volume={folder}:{folder}", "--volume=/var/lib/docker", *options, ENGINE_IMAGE,
                # As after a boot, also if it was killed: nothing is left in /run.
                "sh", "-c", 'rm -rf /run/docker* /run/containerd && exec dockerd "$@"', "dockerd",
                f"--host={self.host}", f"--group={os.getgid()}",
            )  # fmt: skip
            self._await_engine()
        except BaseException:
            self.dispose()
            raise

    def _await_engine(self) -> None:
        wait_until(lambda: self.docker("version"), self.name, ignoring=AssertionError)

    def docker(self, *arguments: str) -> str:
        """Run ``docker`` with this host's engine."""
        return docker("--host", self.host, *arguments)

    def load(self, *images: str) -> None:
        """Bring images here, without a registry."""
        with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saved:
            command = ["docker", "--host", self.host, "load", "--quiet"]
            subprocess.run(command, stdin=saved.stdout, check=True, stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        """End this host, and all that runs there, at once."""
        docker("kill", self.name)

    def start(self) -> None:
        """Start it again after `kill`; what ran there starts by itself."""
        docker("start", self.name)
        self._await_engine()

    def disconnect(self) -> None:
        """Take this host off its network: nothing gets in or out."""
        self._filter("--insert")

    def reconnect(self) -> None:
        """Bring it back."""
        self._filter("--delete")

    def _filter(self, change: str) -> None:
        for chain, way in (("PREROUTING", "--in-interface"), ("POSTROUTING", "--out-interface")):
            rule = ("--table=mangle", change, chain, f"{way}=eth0", "--jump=DROP")
            docker("exec", self.name, "iptables", *rule)

    def dispose(self) -> None:
        """Remove the host with all that it has."""
        docker("rm", "--force", "--volumes", self.name)
