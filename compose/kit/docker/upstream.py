"""Which replicas the nginx of a container sends requests to.

Left alone, it asks the engine's DNS every second for all that there are. A container leaves that
answer only once it has stopped, and a POST that had reached it by then would be lost; so before
replicas go, nginx is given the addresses of those that stay.
"""

import time
from collections.abc import Sequence

from kit import templates
from kit.engine import Engine
from kit.errors import KitError
from kit.project import Container
from kit.settings import PROJECT

_NAME = "NGINX_UPSTREAM_SERVERS"
_CONF = "/etc/nginx/conf.d"
_RELOAD_SECONDS = 10
# Old workers end their requests within worker_shutdown_timeout, 35 s.
_DRAIN_SECONDS = 40


class Upstream:
    """The list of replicas in one running nginx."""

    def __init__(self, nginx: Container, engine: Engine) -> None:
        """Take the container of nginx."""
        self._nginx, self._engine = nginx, engine

    def narrow(self, replicas: Sequence[Container]) -> None:
        """Send requests to these replicas only; return once no request is with another."""
        self._install(
            "\n    ".join(
                f"server {replica.addresses['front']}:8000 max_fails=1 fail_timeout=1s;"
                for replica in replicas
            )
        )

    def widen(self) -> None:
        """Send requests to all that there are, as at the start."""
        self._install(self._nginx.env[_NAME])

    def _install(self, servers: str) -> None:
        """Put the rendered file in place and let nginx take it over, if it differs.

        Raises:
            KitError: nginx keeps the old one.
        """
        template = (PROJECT / "nginx" / "upstream.conf.template").read_text(encoding="utf-8")
        variables = {n: v for n, v in self._nginx.env.items() if n.startswith("NGINX_")}
        text = templates.substitute(template, {**variables, _NAME: servers})
        path = f"{_CONF}/upstream.conf"
        # `ask` strips what it returns.
        if self._engine.ask("exec", self._nginx.id, "cat", path) == text.strip():
            return
        self._engine.ask("exec", "-i", self._nginx.id, "sh", "-c", f"cat >{path}", text=text)
        self._engine.ask(
            "exec", self._nginx.id, "nginx", "-t", "-c", f"{_CONF}/nginx.conf", "-e", "stderr"
        )
        old = self._workers()
        self._engine.ask("kill", "--signal", "HUP", self._nginx.id)
        deadline = time.monotonic() + _RELOAD_SECONDS
        while not self._workers() - old:
            if time.monotonic() > deadline:
                raise KitError(
                    "nginx did not take over its new list of replicas.",
                    "`make logs SERVICE=nginx` says why; `make restart SERVICE=nginx` starts it "
                    "anew.",
                )
            time.sleep(0.1)
        deadline = time.monotonic() + _DRAIN_SECONDS
        while self._workers() & old and time.monotonic() < deadline:
            time.sleep(0.1)

    def _workers(self) -> set[int]:
        return {
            pid
            for pid, parent, _ in processes(self._nginx, self._engine)
            if parent == self._nginx.pid
        }


def processes(container: Container, engine: Engine) -> list[tuple[int, int, int]]:
    """Return pid, parent's pid and resident memory (bytes) of each process of a container.

    The pids are the engine's host's.
    """
    listed = engine.attempt("top", container.id, "-eo", "pid,ppid,rss")
    rows = [line.split() for line in listed.stdout.splitlines()[1:]]
    return [(int(pid), int(parent), int(rss) * 1024) for pid, parent, rss in rows]
