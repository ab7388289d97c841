"""The docker runtime: the same stack in containers, by Docker Compose."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from kit import status
from kit.console import step, warn
from kit.deployment import Replica, await_ready
from kit.docker import credentials
from kit.docker.containers import APP, NGINX, STORE, Container, find, processes
from kit.docker.engine import Engine
from kit.docker.images import Images
from kit.docker.project import Project
from kit.docker.upstream import Upstream
from kit.errors import KitError
from kit.settings import Settings, probe_host
from kit.state import StateFolder
from kit.system import logs, ports, readiness


class DockerRuntime:
    """One Compose project, whose secrets and events are in one state folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state = StateFolder(settings.state_dir)
        self._engine = Engine()
        self._project = Project(settings, self.state, self._engine)
        self._images = Images(settings, self._project, self._engine)
        self._variables: dict[str, str] = {}

    # What verbs need.

    @property
    def url(self) -> str:
        """The address of the running stack."""
        return self.state.project_url or self.settings.url

    def require(self) -> None:
        """Check engine and Compose.

        Raises:
            KitError: one is missing or too old.
        """
        self._engine.require()

    def is_running(self) -> bool:
        """Whether the project has a container."""
        return bool(self._project.containers())

    def orphans(self) -> list[str]:
        """Return nothing: the engine looks after every container."""
        return []

    def enter(self, *, to_deploy: bool) -> None:
        """Nothing to enter: this runtime needs the standard library only."""

    def shut_down(self, *, data: bool) -> list[str]:
        """Stop and remove the containers, and with the data the images that the kit built."""
        ended = self._project.remove_all(data=data)
        self.state.forget_project()
        if data:
            self._images.remove_all()
        return ended

    def tidy(self) -> None:
        """Nothing to remove outside the state folder."""

    def show_status(self) -> None:
        """Print the table of containers and workers."""
        found = self._project.containers()
        lines = [
            line
            for container in found
            if container.service == NGINX
            for line in self._engine.attempt("logs", container.id).stdout.splitlines()
        ]
        status.show(
            map(self._row, found), logs.served_by(lines), self.url,
            f"state: {self.state.root}   project: {self._project.name}",
            "requests: in nginx's log, of which the engine keeps 50 MB; the pids are the host's",
        )  # fmt: skip

    def follow_logs(self, service: str | None) -> None:
        """Print the logs of one container, or of all, until interrupted."""
        found = self._project.containers()
        if not found:
            raise KitError("nothing is running", f"start the stack: {self.settings.make('up')}")
        self._project.follow_logs(find(found, service) if service else None, 10)

    # What a deployment needs: see `kit.deployment.Stack`.

    def prepare(self) -> None:
        self._require_ports()
        address = self._address
        if address != "127.0.0.1":
            warn(f"BIND_ADDRESS={address} opens the ports to others, past this host's firewall")
        self._variables = credentials.prepare(self.settings, self.state)
        self._project.write_overlay(self._variables)
        if "tls" in self.settings.overlays and "TLS_DIR" not in self.settings.compose:
            credentials.make_certificate(self.state.certificates)
        # Now, because an interrupted start may leave containers.
        self.state.record_project(self._project.name, self.settings.url)
        self._variables["APP_IMAGE"] = self._images.app
        self._images.provide(self._variables)
        self._project.mark(self._variables)
        for container in self._containers(APP):
            if container.state == "paused":
                self._engine.ask("unpause", container.id)

    def ensure_store(self) -> bool:
        return self.settings.own_store and self._ensure(STORE, "the store")

    def replicas(self) -> list[Replica]:
        return [Replica(container.name, container.runs) for container in self._containers(APP)]

    def is_current(self, replica: Replica) -> bool:
        container = find(self._project.containers(), replica.name)
        return container.config == self._variables["UNSTICKY_CONFIG_APP"]

    def start(self, count: int) -> list[Replica]:
        before = self._containers(APP)
        # Left alone, nginx asks the engine's DNS, and uses a container before it is ready.
        self._narrow([container for container in before if container.runs])
        self._up(APP, "--no-recreate", "--scale", f"{APP}={len(before) + count}")
        names = {container.name for container in before}
        return [replica for replica in self.replicas() if replica.name not in names]

    def stop(self, replicas: Sequence[Replica]) -> None:
        names = {replica.name for replica in replicas}
        self._project.stop([each for each in self._containers(APP) if each.name in names])

    def route(self, replicas: Sequence[Replica]) -> None:
        names = {replica.name for replica in replicas}
        running = [container for container in self._containers(APP) if container.runs]
        chosen = [container for container in running if container.name in names]
        if chosen != running:
            self._narrow(chosen)
        elif nginx := self._nginx():
            Upstream(nginx, self._engine).widen()

    def ensure_nginx(self, replicas: Sequence[Replica]) -> bool:
        changed = self._ensure(NGINX, "nginx")
        self.route(replicas)
        s = self.settings
        tls = "tls" in s.overlays
        port, host = s.tls_port if tls else s.port, probe_host(s.trusted_hosts)
        await_ready(self, NGINX, lambda: readiness.nginx(port, host, "/readyz", tls=tls))
        return changed

    def finish(self) -> list[str]:
        wanted = {APP, NGINX, STORE} if self.settings.own_store else {APP, NGINX}
        others = [each for each in self._project.containers() if each.service not in wanted]
        if others:
            with step(f"stopping {', '.join(container.name for container in others)}"):
                self._project.stop(others)
        self._images.prune()
        self._project.prune_mounted()
        return [container.name for container in others]

    def restart_service(self, name: str) -> None:
        self._engine.ask("restart", find(self._project.containers(), name).id)

    def services(self) -> list[str]:
        return [container.name for container in self._project.containers()]

    def probe(self, name: str) -> Callable[[], readiness.Answer]:
        # The engine never resets this counter, and earlier crashes do not matter now.
        before = find(self._project.containers(), name).restarts

        def ask() -> readiness.Answer:
            found = next((c for c in self._project.containers() if c.name == name), None)
            if found is None:
                return readiness.Answer("its container was removed", is_final=True)
            if found.state in {"exited", "dead", "restarting"} or found.restarts > before + 1:
                # The engine would restart it for ever.
                return readiness.Answer(f"it ended (exit code {found.exit_code})", is_final=True)
            if found.health == "healthy" or (found.runs and not found.health):
                return readiness.Answer()
            if found.health == "unhealthy":
                return readiness.Answer(f"its health check fails{self._verdict(found)}")
            return readiness.Answer(f"it is {found.health or found.state}")

        return ask

    def last_words(self, name: str) -> str:
        container = find(self._project.containers(), name)
        done = self._engine.attempt("logs", "--tail", str(logs.READ_LINES), container.id)
        return logs.last_words([*done.stdout.splitlines(), *done.stderr.splitlines()])

    def summary(self) -> dict[str, str]:
        s = self.settings
        server = "Valkey" if "valkey" in s.overlays else "Redis"
        tls = f", :{s.tls_port} (TLS)" if "tls" in s.overlays else ""
        return {
            "nginx": f"{self._address}:{s.port}{tls}",
            "image": self._variables["APP_IMAGE"],
            "store": f"{server} (`make down` keeps its data)"
            if s.own_store
            else "yours, at REDIS_URL",
            "project": self._project.name,
        }

    @property
    def _address(self) -> str:
        return self.settings.compose.get("BIND_ADDRESS", "127.0.0.1")

    def _containers(self, service: str) -> list[Container]:
        return [each for each in self._project.containers() if each.service == service]

    def _nginx(self) -> Container | None:
        found = (each for each in self._containers(NGINX) if each.runs)
        return next((each for each in found if each.health == "healthy"), None)

    def _require_ports(self) -> None:
        """Refuse a taken port before anything starts, unless our own nginx has it."""
        wanted = {"PORT": self.settings.port}
        if "tls" in self.settings.overlays:
            wanted["TLS_PORT"] = self.settings.tls_port
        published = [
            int(line.rpartition(":")[2])
            for nginx in self._containers(NGINX)
            if nginx.pid
            for line in self._engine.attempt("port", nginx.id).stdout.splitlines()
        ]
        for name, port in wanted.items():
            if port not in published:
                verb = self.settings.make("up")
                ports.require_free(port, self._address, name=name, by_root=True, verb=verb)

    def _ensure(self, service: str, title: str) -> bool:
        """Make the one container of a service as wanted; return whether it is another one now."""
        before = {(each.id, each.started) for each in self._containers(service)}
        wanted = (self._variables[f"UNSTICKY_CONFIG_{service.upper()}"], True)
        if [(each.config, each.runs) for each in self._containers(service)] != [wanted]:
            with step(title):
                self._up(service)
                await_ready(self, service)
        await_ready(self, service)
        return {(each.id, each.started) for each in self._containers(service)} != before

    def _up(self, service: str, *options: str) -> None:
        self._project.compose(
            "up", "--detach", "--no-build", *options, service, variables=self._variables
        )

    def _narrow(self, replicas: Sequence[Container]) -> None:
        if replicas and (nginx := self._nginx()):
            Upstream(nginx, self._engine).narrow(replicas)

    def _verdict(self, container: Container) -> str:
        said = self._engine.attempt(
            "inspect", "--format", "{{range .State.Health.Log}}{{.Output}}\n{{end}}", container.id
        ).stdout.strip()
        return f" ({said.splitlines()[-1]})" if said else ""

    def _row(self, container: Container) -> status.Service:
        inside = processes(container, self._engine) if container.runs else []
        state = container.health if container.runs and container.health else container.state
        if state == "exited":
            state = f"exited ({container.exit_code})"
        # As nginx's log names them; nginx itself serves every request.
        signature = {APP: f"{container.host}/", NGINX: ""}.get(container.service)
        return status.Service(
            container.name, container.pid, state, container.started,
            sum(size for _, _, size in inside), signature,
            [status.Worker(pid, size, _signature(container, pid))
             for pid, parent, size in inside if parent == container.pid],
        )  # fmt: skip


def _signature(container: Container, pid: int) -> str | None:
    """Return how a worker signs: with the pid that it has inside its container."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        # The engine's host is another one.
        return None
    inner = re.search(r"^NSpid:.*\s(\d+)$", text, re.MULTILINE)
    return f"{container.host}/{inner[1]}" if inner and container.service == APP else None
