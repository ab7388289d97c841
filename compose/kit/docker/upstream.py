"""The replicas that nginx in a container sends requests to.

Left alone, nginx asks the engine's DNS every second for all replicas. A container leaves that
answer only once it has stopped, and a POST that has reached it by then is lost. So nginx gets the
addresses of the replicas that stay before the others stop.
"""

from collections.abc import Sequence

from kit.docker.containers import NGINX, Container, processes
from kit.docker.engine import Engine
from kit.docker.project import Project
from kit.system import templates
from kit.system.reload import reload

_NAME = "NGINX_UPSTREAM_SERVERS"
_CONF = "/etc/nginx/conf.d"


class Upstream:
    """The list of replicas in one running nginx."""

    def __init__(self, nginx: Container, engine: Engine) -> None:
        self._nginx, self._engine = nginx, engine

    @classmethod
    def of(cls, project: Project) -> "Upstream | None":
        """Return that of a project's nginx; None if there is no healthy one."""
        found = (each for each in project.containers(NGINX) if each.runs)
        nginx = next((each for each in found if each.health == "healthy"), None)
        return cls(nginx, project.engine) if nginx else None

    def narrow(self, replicas: Sequence[Container]) -> None:
        """Send requests to these replicas only, if any; wait until the others have none."""
        if not replicas:
            return
        self._install(
            "\n    ".join(
                f"server {replica.addresses['front']}:8000 max_fails=0;" for replica in replicas
            )
        )

    def widen(self) -> None:
        """Send requests to all replicas, as at the start."""
        self._install(self._nginx.env[_NAME])

    def _install(self, servers: str) -> None:
        """Render the list and let nginx reload it, if it differs.

        Raises:
            KitError: nginx keeps the old list.
        """
        # The template that this nginx was started with; the checkout may have another one.
        path = "/etc/nginx/templates/upstream.conf.template"
        template = self._engine.ask("exec", self._nginx.id, "cat", path)
        variables = {n: v for n, v in self._nginx.env.items() if n.startswith("NGINX_")}
        text = templates.substitute(template, {**variables, _NAME: servers})
        path = f"{_CONF}/upstream.conf"
        # `ask` strips its result.
        if self._engine.ask("exec", self._nginx.id, "cat", path) == text.strip():
            return
        self._engine.ask("exec", "-i", self._nginx.id, "sh", "-c", f"cat >{path}", text=text)
        self._engine.ask(
            "exec", self._nginx.id, "nginx", "-t", "-c", f"{_CONF}/nginx.conf", "-e", "stderr"
        )
        reload(
            lambda: self._engine.ask("kill", "--signal", "HUP", self._nginx.id),
            self._workers,
            "`make logs RUNTIME=docker SERVICE=nginx` shows why",
            "`make restart RUNTIME=docker SERVICE=nginx` restarts it",
            drain_seconds=int(self._nginx.env.get("NGINX_REQUEST_SECONDS", "30")) + 10,
        )

    def _workers(self) -> frozenset[int]:
        found = processes(self._nginx, self._engine)
        return frozenset(pid for pid, parent, _ in found if parent == self._nginx.pid)
