"""The docker runtime: the same stack in containers, by Docker Compose."""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from kit import status
from kit.console import say, warn
from kit.docker.containers import APP, NGINX, Container, find, processes
from kit.docker.deployment import DockerDeployment, prepare
from kit.docker.engine import Engine
from kit.docker.project import Project
from kit.docker.script import Script
from kit.docker.store import SERVERS, Watched
from kit.errors import KitError
from kit.runtime import Replica, Runtime
from kit.settings import Settings
from kit.state import StateFolder
from kit.system import logs, ports, readiness
from kit.system.sentinel import SENTINELS


class DockerRuntime(Runtime):
    """One Compose project, whose secrets and events are in one state folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state = StateFolder(settings.state_dir)
        self._engine = Engine()
        self._project = Project(settings, self.state, self._engine)

    @property
    def url(self) -> str:
        return self.state.project_url or self.settings.url

    def require(self) -> None:
        self._engine.require()

    def enter(self, *, to_deploy: bool) -> None:
        # This runtime needs the standard library only.
        pass

    def is_running(self) -> bool:
        return bool(self._project.containers())

    def services(self) -> list[str]:
        return [container.name for container in self._project.containers()]

    def replicas(self) -> list[Replica]:
        return [Replica(each.name, each.runs) for each in self._project.containers(APP)]

    def show_status(self) -> None:
        lines = [
            line
            for nginx in self._project.containers(NGINX)
            for line in self._engine.attempt("logs", nginx.id).stdout.splitlines()
        ]
        containers = self._project.containers()
        watched = self._watched(containers)
        roles = watched.roles() if watched else {}
        status.show(
            [self._row(each, roles.get(each.name, "")) for each in containers],
            logs.served_by(lines), self.url,
            f"state: {self.state.root}   project: {self._project.name}",
            "requests: in nginx's log, of which the engine keeps 50 MB; the pids are the host's",
        )  # fmt: skip

    def follow_logs(self, service: str | None) -> None:
        found = self._project.containers()
        if not found:
            raise KitError("nothing is running", f"start the stack: {self.settings.make('up')}")
        self._project.follow_logs(find(found, service) if service else None, 10)

    def last_words(self, name: str) -> str:
        container = find(self._project.containers(), name)
        done = self._engine.attempt("logs", "--tail", str(logs.READ_LINES), container.id)
        return logs.last_words([*done.stdout.splitlines(), *done.stderr.splitlines()])

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

    def releases(self) -> list[status.Release]:
        return self._project.releases()

    def recover(self) -> list[Replica]:
        self._project.restore_templates()
        Script(self._project.name).recover()
        return self.replicas()

    def prepare(self, *, back: bool) -> DockerDeployment:
        self._require_ports()
        self._require_store()
        address = self.settings.bind_address
        if address != "127.0.0.1":
            warn(f"BIND_ADDRESS={address} opens the ports to others, past this host's firewall")
        return prepare(self, self._project, "rollback" if back else "up")

    def route(self, replicas: Sequence[Replica]) -> None:
        names = {replica.name for replica in replicas}
        running = [container for container in self._project.containers(APP) if container.runs]
        chosen = [container for container in running if container.name in names]
        # Left alone, nginx asks the engine for all that run.
        Script(self._project.name).route([] if chosen == running else chosen)

    def stop(self, replicas: Sequence[Replica]) -> None:
        names = {replica.name for replica in replicas}
        self._project.stop([each for each in self._project.containers(APP) if each.name in names])

    def restart_service(self, name: str) -> None:
        containers = self._project.containers()
        if name in SERVERS and (watched := self._watched(containers)):
            say(f" {watched.hand_over(name)} is the primary;", end="")
        self._engine.ask("restart", find(containers, name).id)

    def shut_down(self, *, data: bool) -> list[str]:
        if watched := self._watched(self._project.containers()):
            self._record_primary(watched)
        ended = self._project.remove_all(data=data)
        self.state.forget_project()
        return ended

    def _require_ports(self) -> None:
        """Refuse a taken port before anything starts, unless a container of ours has it."""
        s = self.settings
        wanted = {"PORT": (s.port, s.bind_address)}
        if "tls" in s.overlays:
            wanted["TLS_PORT"] = (s.tls_port, s.bind_address)
        if s.observe:
            wanted["OBSERVE"] = (s.observe_port, "127.0.0.1")
        published = [
            int(line.rpartition(":")[2])
            for container in self._project.containers()
            if container.pid
            for line in self._engine.attempt("port", container.id).stdout.splitlines()
        ]
        for name, (port, address) in wanted.items():
            if port not in published:
                ports.require_free(port, address, name=name, by_root=True, verb=s.make("up"))

    def _watched(self, containers: Sequence[Container]) -> Watched | None:
        """Return the store's servers and Sentinels, if it has some."""
        found = any(each.service in SENTINELS for each in containers)
        return Watched(self._engine, containers) if found else None

    def _require_store(self) -> None:
        """Refuse a change to one server while several run, or if that one has older data."""
        s, path = self.settings, self.state.primary
        if not s.own_store or s.store == "sentinel":
            return
        if self._watched(self._project.containers()):
            raise KitError(
                "the store runs with STORE=sentinel, and cannot become one server while it runs",
                "to keep it, set STORE=sentinel",
                f"`{s.make('status')}` shows the primary: `{s.make('restart')} SERVICE=` it, until "
                f"{SERVERS[0]} is the primary; then `{s.make('down')}` and `{s.make('up')}`",
            )
        if path.exists() and (last := path.read_text(encoding="utf-8")) != SERVERS[0]:
            raise KitError(
                f"the store's last primary was {last}, and STORE=single would start {SERVERS[0]}",
                f"`{s.make('up')} STORE=sentinel`, and `{s.make('restart')} SERVICE=` the primary, "
                f"until it is {SERVERS[0]}; then `{s.make('down')}` and STORE=single",
            )

    def _record_primary(self, watched: Watched) -> None:
        last = "an unknown server"
        with suppress(KitError):
            last = watched.primary()
        self.state.primary.write_text(last, encoding="utf-8")

    def _verdict(self, container: Container) -> str:
        said = self._engine.attempt(
            "inspect", "--format", "{{range .State.Health.Log}}{{.Output}}\n{{end}}", container.id
        ).stdout.strip()
        return f" ({said.splitlines()[-1]})" if said else ""

    def _row(self, container: Container, role: str) -> status.Service:
        inside = processes(container, self._engine) if container.runs else []
        state = container.health if container.runs and container.health else container.state
        if role and container.runs:
            state = f"{container.state}, {role}"
        if state == "exited":
            state = f"exited ({container.exit_code})"
        # As nginx's log names them; nginx itself serves every request.
        signature = {APP: f"{container.host}/", NGINX: ""}.get(container.service)
        return status.Service(
            container.name, container.pid, state, container.started,
            sum(size for _, _, size, _ in inside), signature,
            [status.Worker(pid, size, _signature(container, pid, kind), kind)
             for pid, parent, size, kind in inside if parent == container.pid],
        )  # fmt: skip


def _signature(container: Container, pid: int, kind: str) -> str | None:
    """Return how a worker signs: with the pid that it has inside its container."""
    if kind != "worker":
        return None
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        # The engine's host is another one.
        return None
    inner = re.search(r"^NSpid:.*\s(\d+)$", text, re.MULTILINE)
    return f"{container.host}/{inner[1]}" if inner and container.service == APP else None
