"""Whether a TCP port is free to listen on."""

import socket

from kit.errors import KitError
from kit.system.processes import listener


def require_free(
    port: int,
    address: str = "127.0.0.1",
    *,
    name: str = "PORT",
    by_root: bool = False,
    verb: str = "make up",
) -> None:
    """Check that a program can listen on a TCP port of an IPv4 or IPv6 address of this host.

    Args:
        port: the value of the setting `name`, with which `verb` tries again.
        address: on which the program listens.
        name: in the hint.
        by_root: it may use ports below 1024; a caller who is not root cannot check those.
        verb: in the hint.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.strip("[]"), port))
            probe.listen()
        except PermissionError as error:
            if not by_root:
                raise KitError(
                    f"cannot listen on port {port}: only root may use ports below 1024",
                    f"choose a higher one: {verb} {name}=8080",
                ) from error
        except OSError as error:
            raise KitError(
                f"port {port} of {address} is in use by {listener(port)}",
                f"choose another: {verb} {name}={_free_port()}",
            ) from error


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])
