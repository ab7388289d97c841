"""Call supervisord: XML-RPC over a unix socket."""

import http.client
import os
import socket
import xmlrpc.client
from pathlib import Path
from typing import Any

from kit.errors import KitError

# Every call that the kit makes returns at once; a supervisord that is stopped or stuck does not.
_TIMEOUT_SECONDS = 5
_HINT = "stop everything with `make down`, then `make up`"


class NotRunningError(KitError):
    """The process that supervisord shall stop or signal does not run."""


class Supervisord:
    """Calls the methods in the namespace ``supervisor`` of a supervisord."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, method: str, *arguments: object) -> Any:
        """Call one method and return its result, which is untyped on the wire.

        Raises:
            NotRunningError: the process that the call names does not run.
            KitError: supervisord refuses the call or does not answer.
        """
        transport = _UnixTransport(self._path)
        server = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport)
        try:
            with server:
                return getattr(server.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultString.startswith("NOT_RUNNING"):
                raise NotRunningError(fault.faultString) from fault
            raise KitError(
                f"supervisord refuses {method}{arguments}: {fault.faultString}", _HINT
            ) from fault
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise KitError(
                f"supervisord does not answer on {self._path}: {error}", _HINT
            ) from error


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: object) -> http.client.HTTPConnection:  # noqa: ARG002
        return _UnixConnection(self._path)
