"""Making a stack what the settings say, with as little restarting as possible."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from kit import events, logs, ports, proxy, readiness, release, services
from kit.console import say, step, warn
from kit.environment import Environment
from kit.errors import KitError
from kit.folder import StateFolder
from kit.processes import children
from kit.services import PROXY, STORE, Service
from kit.settings import PROJECT, Settings
from kit.supervision import Process, Supervisor

_BROKEN = {"BACKOFF", "FATAL", "EXITED"}
_SHOWN_LINES = 12
_READ_LINES = 60

_Put = Callable[[Settings, StateFolder, Environment, Sequence[str]], bool]
"""How nginx's configuration is put in place: `proxy.install` or `proxy.reroute`."""


class Convergence:
    """One stack on its way to what is wanted."""

    def __init__(self, settings: Settings, folder: StateFolder, environment: Environment) -> None:
        """Take the wishes; nothing is touched yet."""
        self._settings = settings
        self._folder = folder
        self._environment = environment
        self._supervisor = Supervisor(folder)
        self._names = services.replica_names(settings)
        self._changes: list[str] = []
        self._log_starts: dict[str, int] = {}

    def converge(self) -> None:
        """Converge: store, replicas, nginx, and only then drop what is left over."""
        began = time.monotonic()
        self._folder.create()
        self._require_port()
        before = self._running_replicas()
        frozen = release.freeze(PROJECT / "app", self._folder.releases)
        wanted = self._services(frozen)
        self._start_supervisor(list(wanted.values()))
        if self._settings.own_store:
            self._converge_store(wanted[STORE])
        self._converge_replicas([wanted[name] for name in self._names])
        self._converge_proxy(wanted[PROXY])
        self._drop_others(list(wanted.values()))
        self._folder.record(self._settings.url, self._environment.root)
        release.prune(self._folder.releases, frozen)
        if before and len(before) != len(self._names):
            detail = f"{len(before)} to {len(self._names)} replicas"
            events.append(self._folder.events, "scaled", "app", detail)
        self._report(time.monotonic() - began, frozen)

    def restart(self, service: str | None) -> None:
        """Restart one service, or each replica after the one before has answered.

        All else stays as it was started, also where its settings are not given again.

        Raises:
            KitError: there is no such service, or it does not become ready.
        """
        running = self._supervisor.processes()
        if service is not None and service not in running:
            raise KitError(
                f"SERVICE={service} is none of this stack's.", f"It has {', '.join(running)}."
            )
        port = proxy.rendered_port(self._folder)
        self._settings = replace(self._settings, port=port or self._settings.port)
        replicas = _replicas(running)
        for name in [service] if service else replicas:
            with step(f"restarting {name}"):
                self._route_around(name, replicas, proxy.reroute)
                self._supervisor.stop(name)
                self._supervisor.start_again(name)
                self._await(name)
            events.append(self._folder.events, "restarted", name)
        self._route(replicas, proxy.reroute)

    def _services(self, frozen: Path) -> dict[str, Service]:
        s, f, e = self._settings, self._folder, self._environment
        wanted = [services.replica(name, s, f, e, frozen) for name in self._names]
        wanted.append(services.proxy(s, f, e))
        if s.own_store:
            wanted.insert(0, services.store(s, f, e))
        return {service.name: service for service in wanted}

    def _require_port(self) -> None:
        """Refuse a taken port before anything starts, unless it is our own nginx that has it."""
        if self._supervisor.is_running():
            nginx = self._supervisor.processes().get(PROXY)
            if nginx and nginx.pid and proxy.rendered_port(self._folder) == self._settings.port:
                return
        elif orphans := self._supervisor.end_orphans():
            warn(f"supervisord had been killed; ended what it left behind: {', '.join(orphans)}")
        ports.require_free(self._settings.port)

    def _start_supervisor(self, wanted: Sequence[Service]) -> None:
        if self._supervisor.is_running():
            # What is no longer wanted stays until nginx has let go of it.
            self._supervisor.adopt(wanted)
            return
        self._folder.remove_sockets()
        self._folder.create()
        with step("supervisord"):
            self._supervisor.start(wanted, self._environment)
        self._changes.append("supervisord")

    def _converge_store(self, store: Service) -> None:
        if self._is_as_wanted(store):
            self._await(STORE)
            return
        with step("Valkey"):
            self._start(store)
        self._changes.append(STORE)

    def _converge_replicas(self, wanted: Sequence[Service]) -> None:
        running = self._running_replicas()
        missing = [service for service in wanted if service.name not in running]
        for service in missing:
            self._launch(service)
        for service in missing:
            with step(f"{service.name} ({self._settings.workers} workers)"):
                self._await(service.name)
        for service in wanted:
            if self._is_as_wanted(service):
                self._await(service.name)
                continue
            with step(f"{service.name} again, as it is wanted now"):
                self._route_around(service.name, self._names)
                self._start(service)
            self._changes.append(service.name)
        self._changes += [service.name for service in missing]

    def _converge_proxy(self, nginx: Service) -> None:
        if self._is_as_wanted(nginx):
            if self._route(self._names):
                self._changes.append(PROXY)
            self._await(PROXY)
            return
        with step("nginx"):
            proxy.install(self._settings, self._folder, self._environment, self._names)
            self._start(nginx)
        self._changes.append(PROXY)

    def _drop_others(self, wanted: Sequence[Service]) -> None:
        names = {service.name for service in wanted}
        for name in sorted(self._supervisor.processes().keys() - names):
            with step(f"stopping {name}, which is not wanted any more"):
                self._supervisor.drop(name)
            self._changes.append(name)

    def _route_around(self, name: str, replicas: Sequence[str], put: _Put = proxy.install) -> None:
        """Take a replica out of nginx before it stops: SIGTERM alone loses POSTs."""
        if name in replicas and (others := [other for other in replicas if other != name]):
            self._route(others, put)

    def _route(self, replicas: Sequence[str], put: _Put = proxy.install) -> bool:
        """Let a running nginx send requests to these replicas; return whether it was news."""
        nginx = self._supervisor.processes().get(PROXY)
        if nginx is None or not nginx.pid:
            return False
        if not put(self._settings, self._folder, self._environment, replicas):
            return False
        workers = children(nginx.pid)
        self._supervisor.signal(PROXY, "HUP")
        proxy.await_reload(nginx.pid, workers)
        return True

    def _start(self, service: Service) -> None:
        self._launch(service)
        self._await(service.name)

    def _launch(self, service: Service) -> None:
        self._supervisor.stop(service.name)
        log = self._folder.service_log(service.name)
        self._log_starts[service.name] = log.stat().st_size if log.exists() else 0
        self._supervisor.launch(service)

    def _is_as_wanted(self, service: Service) -> bool:
        process = self._supervisor.processes()[service.name]
        return _runs(process) and self._supervisor.is_as_described(service)

    def _running_replicas(self) -> list[str]:
        if not self._supervisor.is_running():
            return []
        return _replicas({n: p for n, p in self._supervisor.processes().items() if _runs(p)})

    def _await(self, name: str) -> None:
        """Wait until a service answers; show its last words if it does not."""
        deadline = time.monotonic() + self._settings.ready_timeout
        answer = readiness.wait(lambda: self._probe(name), deadline)
        if not answer.is_ready:
            raise KitError(
                f"{name} is not ready: {answer.problem}. {self._last_words(name)}",
                f"Look further: make logs SERVICE={name}\n"
                "Then `make up` goes on from here, and `make down` ends everything.",
            )

    def _probe(self, name: str) -> readiness.Answer:
        process = self._supervisor.processes()[name]
        if process.state in _BROKEN:
            return readiness.Answer(f"it ended ({process.state})", is_final=True)
        if name == STORE:
            return readiness.store(services.socket_of(STORE, self._folder))
        host = proxy.probe_host(self._settings)
        if name == PROXY:
            return readiness.proxy(self._settings.port, host)
        if (workers := len(children(process.pid))) < self._settings.workers:
            return readiness.Answer(f"{workers} of {self._settings.workers} workers run")
        return readiness.replica(services.socket_of(name, self._folder), host)

    def _last_words(self, name: str) -> str:
        start = self._log_starts.get(name, 0)
        lines = logs.last_lines(self._folder.service_log(name), _READ_LINES, start)
        shown = logs.condensed(lines)[-_SHOWN_LINES:] or ["(nothing)"]
        return "Its last words:\n" + "\n".join(f"  {line}" for line in shown)

    def _report(self, seconds: float, frozen: Path) -> None:
        s = self._settings
        if not self._changes:
            say(f"Nothing to change: {s.url} is as wanted. `make status` shows what runs.")
            return
        kind = "started" if "supervisord" in self._changes else "changed"
        detail = f"{s.replicas} replicas of {s.workers} workers, release {frozen.name}"
        events.append(self._folder.events, kind, "stack", detail)
        store = "Valkey (its data outlives `make down`)" if s.own_store else "yours, at REDIS_URL"
        say(
            f"\n{s.url} is ready after {seconds:.1f} s\n\n"
            f"  nginx      127.0.0.1:{s.port}\n"
            f"  replicas   {', '.join(self._names)}: {s.workers} {s.worker_class} workers each\n"
            f"  release    {frozen.name}\n"
            f"  store      {store}\n"
            f"  state      {self._folder.root}\n"
        )
        if services.runs_as_root():
            warn("you are root, so nginx's and Gunicorn's workers are too; rather be another user")
        say("Next: make open | make status | make logs | make down")


def _runs(process: Process) -> bool:
    return process.state in {"RUNNING", "STARTING"}


def _replicas(processes: dict[str, Process]) -> list[str]:
    names = [name for name in processes if name.startswith("app-")]
    return sorted(names, key=lambda name: int(name.removeprefix("app-")))
