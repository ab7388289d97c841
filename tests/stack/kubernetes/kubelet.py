"""A pod of the manifests as processes, and what the kubelet does when it ends.

The order is the kubelet's: ``preStop``, then SIGTERM to the application, then the sidecar's stop
signal; what is no sidecar is stopped at once; what still runs at the end of the grace period is
killed.
"""

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self

from tests.stack.kubernetes import rendering
from tests.stack.kubernetes.rendering import Manifest, containers, named, nginx_variables
from tests.support.http.wire import exchange
from tests.support.ports import free_port
from tests.support.stacks.gunicorn import Gunicorn
from tests.support.stacks.nginx import NGINX, Nginx, defaults
from tests.support.waiting import PATIENCE, wait_until

_APP = "tests.stack.gunicorn_conf.application:app"
# Of the manifests, those that a process on this machine has, too.
_OF_THE_APP = ("WORKERS", "WORKER_CLASS", "REQUEST_SECONDS")
_OF_THE_MACHINE = ("NGINX_LISTEN", "NGINX_RUN_DIR", "NGINX_ACCESS_LOG", "NGINX_USER_DIRECTIVE")


@dataclass(frozen=True)
class End:
    """How a pod ends.

    Attributes:
        pre_stop: the application gets SIGTERM so many seconds after its endpoint's removal.
        grace: what still runs is killed so many seconds after the removal.
        nginx_is_sidecar: nginx stops after the application.
        nginx_stop: the signal that the image of nginx names.
        graceful: Gunicorn's time for requests in seconds; None for that of its configuration.
    """

    pre_stop: float
    grace: float
    nginx_is_sidecar: bool
    nginx_stop: signal.Signals = signal.SIGQUIT
    graceful: int | None = None

    @classmethod
    def of(cls, manifests: list[Manifest]) -> Self:
        """Read it from the manifests."""
        spec = rendering.pod(manifests)
        parts = containers(spec)
        return cls(
            parts["app"]["lifecycle"]["preStop"]["sleep"]["seconds"],
            spec["terminationGracePeriodSeconds"],
            parts["nginx"].get("restartPolicy") == "Always",
        )

    def but(self, **changes: Any) -> Self:
        """Return it with some changes."""
        return replace(self, **changes)


class Pod:
    """nginx and Gunicorn with the variables of the manifests.

    Args:
        folder: an existing, empty folder with a short path.
        manifests: those of an overlay.
        end: how it will end.
    """

    def __init__(self, folder: Path, manifests: list[Manifest], end: End) -> None:
        self.folder = folder
        self._end = end
        settings = named(manifests, "ConfigMap", "settings")["data"]
        port = free_port()
        self.app = Gunicorn(
            folder,
            _APP,
            *(() if end.graceful is None else ("--graceful-timeout", str(end.graceful))),
            BIND=f"127.0.0.1:{port}",
            **{name: settings[name] for name in _OF_THE_APP},
        )
        variables = nginx_variables(manifests)
        servers = variables["NGINX_UPSTREAM_SERVERS"]
        assert "127.0.0.1:8000" in servers
        servers = servers.replace(":8000", f":{port}")
        run = folder / "nginx"
        machine = defaults(run, servers)
        self._variables = variables | {name: machine[name] for name in _OF_THE_MACHINE}
        self._variables["NGINX_UPSTREAM_SERVERS"] = servers
        self._run = run
        self.nginx: Nginx | None = None

    def run(self) -> Self:
        """Start both, without waiting for the application."""
        self._run.mkdir()
        self.app.run()
        self.nginx = Nginx.start(self._run, self._variables, {})
        return self

    @property
    def port(self) -> int:
        """The port at which the gateway finds it."""
        assert self.nginx
        return self.nginx.port

    def end(self) -> None:
        """Do what the kubelet does, from the removal of the endpoint to the end of the pod."""
        assert self.nginx
        assert self.app.process
        killed_at = time.monotonic() + self._end.grace
        if not self._end.nginx_is_sidecar:
            self.nginx.process.send_signal(self._end.nginx_stop)
        # The pod's own `preStop.sleep`, in which gateways learn that it ends.
        time.sleep(self._end.pre_stop)
        for process, stop in (
            (self.app.process, signal.SIGTERM),
            (self.nginx.process, self._end.nginx_stop),
        ):
            process.send_signal(stop)
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(killed_at - time.monotonic(), 0))
        self.kill()

    def kill(self) -> None:
        """End what still runs, with SIGKILL."""
        self.app.stop()
        if self.nginx and self.nginx.process.poll() is None:
            # Its workers outlive a master that is killed.
            self.nginx.stop()


class Gateway:
    """A gateway that sends each request to one pod, once."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, pods: list[Pod]) -> Self:
        """Start it before these pods."""
        self._write(pods)
        with (self._run / "error.log").open("wb") as errors:
            self._process = subprocess.Popen(
                [NGINX, "-p", self._run, "-c", "gateway.conf", "-e", "stderr"], stderr=errors
            )
        wait_until(lambda: not post(self.port), "a gateway")
        return self

    def use(self, pods: list[Pod]) -> None:
        """Send new requests to these pods alone; what it has sent goes on."""
        assert self._process
        self._write(pods)
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End it."""
        if self._process:
            self._process.terminate()
            self._process.wait(10)

    def _write(self, pods: list[Pod]) -> None:
        servers = " ".join(f"server 127.0.0.1:{pod.port} max_fails=0;" for pod in pods)
        (self._run / "gateway.conf").write_text(
            f"""daemon off; pid {self._run}/pid; events {{ worker_connections 1024; }}
worker_processes 1;
http {{
    access_log off; client_body_temp_path {self._run}/body; proxy_temp_path {self._run}/proxy;
    fastcgi_temp_path {self._run}/f; uwsgi_temp_path {self._run}/u; scgi_temp_path {self._run}/s;
    upstream pods {{ {servers} keepalive 8; }}
    server {{
        listen 127.0.0.1:{self.port};
        location / {{
            proxy_pass http://pods; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_next_upstream off; }} }} }}
""",
            encoding="utf-8",
        )


# Bytes: more than nginx and the kernel hand over at once.
_LARGE = 2**22
_POST = (
    b"POST / HTTP/1.1\r\nHost: app.example.org\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


@contextmanager
def cluster(
    folder: Path, manifests: list[Manifest], number: int, end: End
) -> Iterator[tuple[list[Pod], Gateway]]:
    """Run pods behind a gateway; the first one is not meant to end.

    Args:
        folder: an existing, empty folder with a short path.
        manifests: those of an overlay.
        number: of pods.
        end: how they end.
    """
    with ExitStack() as parts:
        pods = []
        for place in range(number):
            own = folder / str(place)
            own.mkdir()
            pods.append(Pod(own, manifests, end))
            parts.callback(pods[-1].kill)
            pods[-1].run()
        for pod in pods:
            pod.app.await_workers()
        run = folder / "gateway"
        run.mkdir()
        gateway = Gateway(run)
        parts.callback(gateway.stop)
        yield pods, gateway.start(pods)


def held_post(pod: Pod, name: str, seconds: float) -> str | None:
    """Send a POST that takes so long to a pod, and return what went wrong with it.

    It goes to the pod's nginx, as from a gateway that has not seen the removal.
    """
    ends = threading.Timer(seconds, pod.app.release, [name])
    ends.start()
    try:
        return post(pod.port, f"/hold/{name}")
    finally:
        ends.cancel()


def slow_read(pod: Pod) -> str | None:
    """Send a POST whose answer is large, and read it when the pod's nginx stops.

    Returns:
        What went wrong with it.
    """
    body = bytes(_LARGE)
    head = (
        f"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: {_LARGE}\r\nConnection: close\r\n\r\n"
    )
    try:
        with socket.socket() as client:
            # Otherwise all of the answer may be in the kernel, where nothing can cut it off.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
            client.settimeout(PATIENCE)
            client.connect(("127.0.0.1", pod.port))
            client.sendall(head.encode() + body)
            client.recv(1)
            wait_until(lambda: not _listens(pod.port), "an nginx that stops")
            whole = b"".join(iter(lambda: client.recv(2**16), b"")).endswith(body)
    except OSError as error:
        return repr(error)
    return None if whole else "an answer that was cut off"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def post(port: int, path: str = "/") -> str | None:
    """Send a POST, once, and return what went wrong with it."""
    try:
        status = exchange(port, _POST.replace(b" / ", f" {path} ".encode(), 1), "POST").status
    except (OSError, HTTPException) as error:
        return repr(error)
    return None if status == 200 else f"status {status}"
