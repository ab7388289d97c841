"""A network of one server's own, of which one of two ways can be cut. It needs root."""

import os
import random
import shutil
import subprocess


class Apart:
    """A network namespace: what runs in it is reached from here by two ways.

    Raises:
        OSError: this machine, or this user, cannot make one.

    Attributes:
        address: of the server.
        other: an address of ours. Who connects from it loses the server by `cut`; who connects
            from no address in particular does not.
        command: what runs a program in it.
    """

    def __init__(self) -> None:
        network = f"198.{random.randint(18, 19)}.{random.randint(0, 255)}"
        self.address, self.other = f"{network}.2", f"{network}.3"
        self._name = f"unsticky-{os.getpid()}-{random.randrange(10**6)}"
        link = f"u{random.randrange(10**9)}"
        self.command = ("nsenter", f"--net=/run/netns/{self._name}")
        if os.geteuid() or not (shutil.which("ip") and shutil.which("nsenter")):
            raise PermissionError("a network namespace needs root, ip and nsenter")
        _ip(f"netns add {self._name}")
        try:
            _ip(f"link add {link} type veth peer name server netns {self._name}")
            # The first one is where connections from no address in particular come from.
            for ours in (f"{network}.1", self.other):
                _ip(f"address add {ours}/29 dev {link}")
            _ip(f"link set {link} up")
            _ip(f"-n {self._name} address add {self.address}/29 dev server")
            _ip(f"-n {self._name} link set server up")
        except OSError:
            self.close()
            raise

    def cut(self) -> None:
        """Drop each packet between the server and `other`, and tell nobody."""
        _ip(f"rule add from {self.other} to {self.address} blackhole")
        _ip(f"-n {self._name} route add blackhole {self.other}")

    def close(self) -> None:
        """Remove it, with what belongs to it."""
        if self.other in _ip("rule list"):
            _ip(f"rule del from {self.other} to {self.address} blackhole")
        _ip(f"netns delete {self._name}")


def _ip(arguments: str) -> str:
    done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {arguments}: {done.stderr.strip()}")
    return done.stdout
