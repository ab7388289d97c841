"""Making a project's containers what the settings say, with as little restarting as possible."""

import time
from collections.abc import Sequence

from kit import events, logs, ports, proxy, readiness
from kit.console import say, step, warn
from kit.engine import Engine
from kit.errors import KitError
from kit.folder import StateFolder
from kit.image import Images
from kit.project import APP, PROXY, STORE, Container, Project, find
from kit.settings import Settings
from kit.upstream import Upstream

_SHOWN_LINES = 12
_READ_LINES = "60"


class Rollout:
    """One project on its way to what is wanted."""

    def __init__(
        self,
        settings: Settings,
        folder: StateFolder,
        project: Project,
        engine: Engine,
        variables: dict[str, str],
    ) -> None:
        """Take the wishes; nothing is touched yet."""
        self._settings, self._folder = settings, folder
        self._project, self._engine = project, engine
        self._images = Images(settings, project, engine)
        self._variables = variables
        self._changes: list[str] = []

    def converge(self) -> None:
        """Converge: images, store, replicas, nginx, and only then drop what is left over."""
        began = time.monotonic()
        before = self._project.containers()
        self._require_ports(before)
        self._variables["APP_IMAGE"] = self._images.app
        self._images.provide(self._variables)
        self._project.mark(self._variables)
        if self._settings.own_store:
            self._converge_single(STORE)
        self._converge_replicas()
        self._converge_single(PROXY)
        self._drop_others()
        self._await_answer()
        self._images.prune()
        running = [c for c in before if c.service == APP and c.runs]
        if running and len(running) != self._settings.replicas:
            detail = f"{len(running)} to {self._settings.replicas} replicas"
            events.append(self._folder.events, "scaled", APP, detail)
        self._report(time.monotonic() - began, was_there=bool(before))

    def restart(self, name: str | None) -> None:
        """Restart one container, or each replica after the one before is healthy again.

        Raises:
            KitError: there is no such container, or it does not become healthy.
        """
        found = self._project.containers()
        chosen = [find(found, name)] if name else [c for c in found if c.service == APP]
        try:
            for container in chosen:
                with step(f"restarting {container.name}"):
                    if container.service == APP:
                        self._narrow_to([c for c in self._replicas() if c.id != container.id])
                    self._engine.ask("restart", container.id)
                    self._await(container.id)
                events.append(self._folder.events, "restarted", container.name)
        finally:
            self._widen()

    def _require_ports(self, before: Sequence[Container]) -> None:
        """Refuse a taken port before anything starts, unless it is our own nginx that has it."""
        wanted = {"PORT": self._settings.port}
        if "tls" in self._settings.overlays:
            wanted["TLS_PORT"] = self._settings.tls_port
        nginx = next((c for c in before if c.service == PROXY and c.pid), None)
        ours = set(self._published(nginx)) if nginx else set()
        address = self._settings.compose.get("BIND_ADDRESS", "127.0.0.1")
        for name, port in wanted.items():
            if port not in ours:
                ports.require_free(
                    port, address, name=name, by_root=True, verb="make up RUNTIME=docker"
                )

    def _published(self, nginx: Container) -> list[int]:
        return [
            int(line.rpartition(":")[2])
            for line in self._engine.attempt("port", nginx.id).stdout.splitlines()
        ]

    def _converge_single(self, service: str) -> None:
        """Make the store's or nginx's one container; Compose sees whether it is another one."""
        before = self._started(service)
        title = {STORE: "the store", PROXY: "nginx"}[service]
        found = [c for c in self._project.containers() if c.service == service]
        wanted = self._variables[f"UNSTICKY_CONFIG_{service.upper()}"]
        if [(c.config, c.runs) for c in found] != [(wanted, True)]:
            with step(title):
                self._up(service)
                self._await_service(service)
        self._await_service(service)
        if self._started(service) != before:
            self._changes.append(service)

    def _converge_replicas(self) -> None:
        config = self._variables["UNSTICKY_CONFIG_APP"]
        for paused in (c for c in self._replicas() if c.state == "paused"):
            self._engine.ask("unpause", paused.id)
        replicas = self._replicas()
        self._project.stop([c for c in replicas if c.config != config and not c.runs])
        stale = [c for c in replicas if c.config != config and c.runs]
        current = [c for c in replicas if c.config == config]
        missing = max(0, self._settings.replicas - len(current))
        asleep = [c for c in current if not c.runs]
        if missing or asleep:
            # New ones stay out of nginx until they have answered.
            self._narrow_to([c for c in replicas if c.runs])
            number = len(stale) + len(current) + missing
            with step(f"starting {missing or len(asleep)} of {self._settings.replicas} replicas"):
                self._up(APP, "--no-recreate", "--scale", f"{APP}={number}")
        current = [c for c in self._replicas() if c.config == config]
        kept, surplus = current[: self._settings.replicas], current[self._settings.replicas :]
        try:
            self._await_replicas(kept, {c.id for c in replicas if c.runs})
        except KitError as error:
            if not stale:
                raise
            self._project.stop([c for c in kept if c.id not in {r.id for r in replicas}])
            self._widen()
            raise KitError(
                error.problem, "Mend what it names. The replicas that ran before go on serving."
            ) from error
        if leaving := [*stale, *surplus]:
            names = ", ".join(c.name for c in leaving)
            with step(f"stopping {names}, not wanted any more"):
                self._narrow_to(kept)
                self._project.stop(leaving)
            self._changes.append(names)
        self._widen()

    def _await_replicas(self, kept: Sequence[Container], ran: set[str]) -> None:
        for container in kept:
            if container.id in ran:
                self._await(container.id)
                continue
            with step(f"{container.name} ({self._settings.workers} workers)"):
                self._await(container.id)
            self._changes.append(container.name)

    def _drop_others(self) -> None:
        services = {APP, PROXY, STORE} if self._settings.own_store else {APP, PROXY}
        others = [c for c in self._project.containers() if c.service not in services]
        if others:
            names = ", ".join(c.name for c in others)
            with step(f"stopping {names}, not wanted any more"):
                self._project.stop(others)
            self._changes.append(names)

    def _up(self, service: str, *options: str) -> None:
        self._project.compose(
            "up", "--detach", "--no-build", *options, service,
            variables=self._variables,
        )  # fmt: skip

    def _replicas(self) -> list[Container]:
        return [c for c in self._project.containers() if c.service == APP]

    def _started(self, service: str) -> set[tuple[str, float]]:
        return {(c.id, c.started) for c in self._project.containers() if c.service == service}

    def _narrow_to(self, replicas: Sequence[Container]) -> None:
        """Take other replicas out of nginx before they stop: SIGTERM alone loses POSTs."""
        if replicas and (nginx := self._nginx()):
            Upstream(nginx, self._engine).narrow(replicas)

    def _widen(self) -> None:
        if nginx := self._nginx():
            Upstream(nginx, self._engine).widen()

    def _nginx(self) -> Container | None:
        found = (c for c in self._project.containers() if c.service == PROXY)
        return next((c for c in found if c.runs and c.health == "healthy"), None)

    def _await_service(self, service: str) -> None:
        for container in self._project.containers():
            if container.service == service:
                self._await(container.id)

    def _await(self, container_id: str) -> None:
        """Wait until a container is healthy; show its last words if it does not get so."""
        deadline = time.monotonic() + self._settings.ready_timeout
        # The engine counts on for as long as a container lives: older crashes are no matter now.
        before = sum(c.restarts for c in self._project.containers() if c.id == container_id)
        answer = readiness.wait(lambda: self._probe(container_id, before), deadline)
        if not answer.is_ready:
            name = next((c.name for c in self._project.containers() if c.id == container_id), "?")
            raise KitError(
                f"{name} is not ready: {answer.problem}. {self._last_words(container_id)}",
                f"Look further: make logs RUNTIME=docker SERVICE={name}\n"
                "Then `make up RUNTIME=docker` goes on from here, and `make down RUNTIME=docker` "
                "ends everything.",
            )

    def _probe(self, container_id: str, restarts_before: int) -> readiness.Answer:
        found = next((c for c in self._project.containers() if c.id == container_id), None)
        if found is None:
            return readiness.Answer("its container was removed", is_final=True)
        if found.state == "paused":
            self._engine.attempt("unpause", found.id)
        elif (
            found.state in {"exited", "dead", "restarting"} or found.restarts > restarts_before + 1
        ):
            # The engine would go on starting it again for ever.
            return readiness.Answer(f"it ended (exit code {found.exit_code})", is_final=True)
        if found.health == "healthy" or (found.runs and not found.health):
            return readiness.Answer()
        if found.health == "unhealthy":
            return readiness.Answer(f"its health check fails{self._verdict(found)}")
        return readiness.Answer(f"it is {found.health or found.state}")

    def _verdict(self, container: Container) -> str:
        said = self._engine.attempt(
            "inspect", "--format", "{{range .State.Health.Log}}{{.Output}}\n{{end}}", container.id
        ).stdout.strip()
        return f" ({said.splitlines()[-1]})" if said else ""

    def _last_words(self, container_id: str) -> str:
        done = self._engine.attempt("logs", "--tail", _READ_LINES, container_id)
        lines = logs.condensed([*done.stdout.splitlines(), *done.stderr.splitlines()])
        shown = lines[-_SHOWN_LINES:] or ["(nothing)"]
        return "Its last words:\n" + "\n".join(f"  {line}" for line in shown)

    def _await_answer(self) -> None:
        """Wait until the shop can be used through the published port."""
        s = self._settings
        tls = "tls" in s.overlays
        deadline = time.monotonic() + s.ready_timeout
        answer = readiness.wait(
            lambda: readiness.proxy(
                s.tls_port if tls else s.port, proxy.probe_host(s), "/readyz", tls=tls
            ),
            deadline,
        )
        if not answer.is_ready:
            raise KitError(
                f"nginx is not ready: {answer.problem}.",
                "Look further: make logs RUNTIME=docker\n"
                "Then `make up RUNTIME=docker` goes on from here.",
            )

    def _report(self, seconds: float, *, was_there: bool) -> None:
        s = self._settings
        if not self._changes:
            say(f"Nothing to change: {s.url} is as wanted. `make status` shows what runs.")
            return
        kind = "changed" if was_there else "started"
        image = self._variables["APP_IMAGE"]
        detail = f"{s.replicas} replicas of {s.workers} workers, image {image}"
        events.append(self._folder.events, kind, "stack", detail)
        server = "Valkey" if "valkey" in s.overlays else "Redis"
        store = (
            f"{server} (its data outlives `make down`)" if s.own_store else "yours, at REDIS_URL"
        )
        address = s.compose.get("BIND_ADDRESS", "127.0.0.1")
        ports = f"{address}:{s.port}" + (f", :{s.tls_port} (TLS)" if "tls" in s.overlays else "")
        names = ", ".join(c.name for c in self._replicas())
        say(
            f"\n{s.url} is ready after {seconds:.1f} s\n\n"
            f"  nginx      {ports}\n"
            f"  replicas   {names}: {s.workers} {s.worker_class} workers each\n"
            f"  image      {image}\n"
            f"  store      {store}\n"
            f"  project    {self._project.name}\n"
            f"  state      {self._folder.root}\n"
        )
        if address != "127.0.0.1":
            warn(f"the ports are open to whoever reaches {address}, past this host's firewall")
        say("Next: make open | make status | make logs | make down   (with RUNTIME=docker)")
