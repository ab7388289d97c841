"""The local runtime: real processes under supervisord, and no Docker."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from kit import status
from kit.check.processes import Target
from kit.console import say, warn
from kit.errors import KitError
from kit.local import mongodb, observers, recovery, sentinel, services
from kit.local.deployment import LocalDeployment
from kit.local.nginx import Nginx, rendered_port, rendered_prefix
from kit.local.observers import OBSERVERS
from kit.local.releases import Releases, Served, freeze
from kit.local.services import NGINX, Release, is_replica, is_store
from kit.local.supervisor import Process, Supervisor
from kit.runtime import Replica, Runtime
from kit.settings import Settings, probe_host
from kit.setup import application, detection, environment
from kit.state import StateFolder
from kit.system import logs, ports, readiness, store_url
from kit.system.processes import children, exporters, memory, require_files, runs_as_root
from kit.system.sentinel import SENTINELS

_BROKEN = {"BACKOFF", "FATAL", "EXITED"}
_MOST_STARTS = 2


class LocalRuntime(Runtime):
    """One stack of processes, whose files are in one state folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state = StateFolder(settings.state_dir)
        self._environment = environment.to_run(settings)
        self._supervisor = Supervisor(self.state)
        self._nginx = Nginx(settings, self.state, self._environment)
        self._releases = Releases(self.state)

    @property
    def url(self) -> str:
        return self.state.url or self.settings.url

    def enter(self, *, to_deploy: bool) -> None:
        if to_deploy:
            environment.ensure(self._environment)
            environment.enter(self._environment)
            return
        recorded = environment.Environment(self.state.environment or self._environment.root, ())
        if not recorded.is_complete():
            raise KitError(
                f"the environment of this stack, {recorded.root}, is gone",
                "`make down`, then `make up` builds it again",
            )
        environment.enter(recorded)

    def is_running(self) -> bool:
        return self._supervisor.is_running()

    def orphans(self) -> list[str]:
        return [] if self.is_running() else self._supervisor.living()

    def services(self) -> list[str]:
        return list(self._supervisor.processes())

    def replicas(self) -> list[Replica]:
        if not self.is_running():
            return []
        found = self._supervisor.processes()
        names = sorted(filter(is_replica, found), key=services.number)
        return [Replica(name, found[name].runs) for name in names]

    def show_status(self) -> None:
        served: Counter[str] = Counter()
        for path in self.state.log.glob("nginx.access.log*"):
            with path.open(encoding="utf-8", errors="replace") as file:
                served += logs.served_by(file)
        state = f"state: {self.state.root}"
        counted = "requests: in nginx's access log and its two rotated ones (10 MB each)"
        found, watched = self._supervisor.settled().values(), self._watched()
        roles = watched.roles() if watched else {}
        rows = [_row(process, roles.get(process.name, "")) for process in found]
        status.show(rows, served, self.url, state, counted)

    def follow_logs(self, service: str | None) -> None:
        known = {path.name.partition(".")[0] for path in logs.files(self.state.log, None)}
        if not known:
            raise KitError("there are no logs yet", "start the stack: make up")
        if service is not None and service not in known:
            raise KitError(
                f"SERVICE={service} has no log", f"choose one of {', '.join(sorted(known))}"
            )
        files = logs.files(self.state.log, service)
        logs.follow(files, 10, lambda: bool(self._supervisor.living()))
        say("\nNothing is running: this is the end of the logs.")

    def last_words(self, name: str) -> str:
        return self._supervisor.last_words(name)

    def probe(self, name: str) -> Callable[[], readiness.Answer]:
        # As the replicas were started: a restart does not need the same settings again.
        names = [name] if is_replica(name) else [replica.name for replica in self.replicas()]
        env = self._supervisor.described(names[0] if names else name)["env"]
        host = probe_host(env.get("TRUSTED_HOSTS", self.settings.trusted_hosts))
        workers = int(env.get("WORKERS", 0))
        health = env.get("HEALTH_PATH", "/readyz")
        seen: set[int] = set()
        store = self._store_probe(name)

        def ask() -> readiness.Answer:
            process = self._supervisor.processes()[name]
            seen.update({process.pid} - {0})
            if process.state in _BROKEN:
                return readiness.Answer(f"it ended ({process.state})", is_final=True)
            # supervisord starts what ends after `startsecs` again and again, without BACKOFF.
            if len(seen) > _MOST_STARTS:
                return readiness.Answer("it ended each time it was started", is_final=True)
            if is_store(name):
                return store()
            if name in OBSERVERS:
                return observers.probe(name, self._supervisor.described(name)["argv"])
            if name == NGINX:
                # It starts workers once it listens. Until then the answer may be that of another
                # user, who took the port first.
                if not children(process.pid):
                    return readiness.Answer("it does not listen yet")
                port = rendered_port(self.state) or self.settings.port
                return readiness.nginx(port, host, health, rendered_prefix(self.state))
            if (found := len(children(process.pid))) < workers:
                return readiness.Answer(f"{found} of {workers} workers run")
            return readiness.replica(services.socket_of(name, self.state), host, health)

        return ask

    def releases(self) -> list[status.Release]:
        current = self._current()
        return [
            status.Release(
                each.number,
                each.since,
                f"release {each.folder.name}, packages {each.environment.name}",
                each == current,
            )
            for each in self._releases.served()
            if each.is_there()
        ]

    def recover(self) -> list[Replica]:
        return recovery.recover(self, self._supervisor, self._nginx, self._releases)

    def _current(self) -> Served | None:
        """Return the recorded release that serves, if any."""
        using, found = self._using(), self._releases.served()
        return next((each for each in found if (each.folder, each.environment) in using), None)

    def _watched(self) -> sentinel.Watched | None:
        """Return the store's servers and Sentinels, if it has some."""
        return sentinel.recorded(self.state) if SENTINELS[0] in self.services() else None

    def _store_probe(self, name: str) -> Callable[[], readiness.Answer]:
        if name == mongodb.NAME:
            return partial(mongodb.probe, self.state)
        if watched := self._watched():
            return partial(watched.probe, name)
        return partial(readiness.store, services.socket_of(name, self.state))

    def _using(self) -> set[tuple[Path, Path]]:
        """Return the folders of the releases that run, with those of their packages."""
        return {self._supervisor.release_of(each.name) for each in self.replicas() if each.runs}

    def prepare(self, *, back: bool) -> LocalDeployment:
        if former := self._supervisor.former_root():
            warn(f"{former} has moved to {self.state.root}: stopping all, which runs on its paths")
            self._supervisor.shut_down()
        if not self.is_running():
            self.state.remove_sockets()
        self.state.create()
        found = self._supervisor.processes() if self.is_running() else {}
        running = [n for n, p in found.items() if p.pid]
        sentinel.prepare(self.settings, self.state, running)
        self._require_port()
        mongodb.prepare(self.settings, self.state, running)
        url = self.settings.redis_url
        # Waiting for replicas would not help a store that does not answer at all.
        if url and (problem := store_url.refusal(url)):
            raise KitError(
                f"cannot connect to the store at REDIS_URL: {problem}",
                "start that store or correct REDIS_URL; unset it to use the kit's own store",
            )
        require_files(services.files_of(self.settings))
        if runs_as_root():
            warn("nginx and Gunicorn run as root, like you; an ordinary user is safer")
        self._supervisor.write_launcher(self._environment)
        # Before anything starts.
        release = self._earlier() if back else freeze(self.settings, self.state, self._environment)
        if self.settings.in_mongodb and self.settings.mongodb_url:
            command = services.release_command(self.settings, self.state, release)
            mongodb.require(release.environment.python, command.cwd, command.env)
        deployment = LocalDeployment(
            self, self._supervisor, self._nginx, self._environment, release, self._releases
        )
        self._nginx.check([replica.name for replica in self.replicas()] or ["app-1"])
        deployment.start_supervisor()
        return deployment

    def target(self) -> Target:
        """Return what `make check` looks at: the application as a worker would start it."""
        self.state.create()
        frozen = freeze(self.settings, self.state, self._environment)
        env = services.release_command(self.settings, self.state, frozen).env
        processes = self.settings.replicas * self.settings.workers
        app = frozen.application
        return Target(app.folder, app.name, frozen.environment.python, env, processes)

    def route(self, replicas: Sequence[Replica]) -> None:
        nginx = self._supervisor.processes().get(NGINX)
        if nginx and nginx.pid and self._nginx.reroute([replica.name for replica in replicas]):
            self._nginx.reload(self._supervisor)

    def stop(self, replicas: Sequence[Replica]) -> None:
        self._supervisor.drop(*(replica.name for replica in replicas))
        observers.find(self.state, [replica.name for replica in self.replicas()])

    def restart_service(self, name: str) -> None:
        if name in sentinel.SERVERS and (watched := self._watched()):
            say(f" {watched.hand_over(name)} is the primary;", end="")
        self._supervisor.stop(name)
        self._supervisor.start_again(name)

    def shut_down(self, *, data: bool) -> list[str]:
        # The data goes with the state folder, and not before.
        del data
        return self._supervisor.shut_down()

    def tidy(self) -> None:
        if not self.is_running():
            self.state.remove_sockets()

    def _earlier(self) -> Release:
        """Return the release before the one that serves, with today's settings."""
        current, served = self._current(), self._releases.served()
        known = {(each.folder, each.environment) for each in served}
        # An interrupted deployment left one that has not served: the last one is the earlier.
        if current and self._using() <= known:
            # A newer one is left where a rollback was interrupted, which this one finishes.
            end = current.number + (served[0].number > current.number)
            served = [each for each in served if each.number < end]
        found = [each for each in served if each.is_there()]
        if not found:
            raise KitError(
                "there is no earlier release", f"`{self.settings.make('releases')}` shows them"
            )
        app = application.read(self.settings, self.state)
        if app.data is not None and not self.settings.app:
            name = detection.find_app(found[0].folder / "code").app
            app = replace(app, name=name)
        serving = environment.Environment(found[0].environment, ())
        return Release(app, serving, found[0].folder, found[0].number)

    def _require_port(self) -> None:
        """Refuse a taken port before anything starts, unless our own services listen on it."""
        s, running = self.settings, self._supervisor.living()
        for name, port in observers.ports_of(s).items() if s.observe else ():
            if name not in running:
                ports.require_free(port, name="OBSERVE")
        if self.is_running():
            nginx = self._supervisor.processes().get(NGINX)
            if nginx and nginx.pid and rendered_port(self.state) == self.settings.port:
                return
        elif orphans := self._supervisor.end_orphans():
            warn(f"supervisord was killed; stopped what it left behind: {', '.join(orphans)}")
        ports.require_free(self.settings.port)


def _row(process: Process, role: str) -> status.Service:
    workers = sorted(children(process.pid)) if process.pid else []
    others = exporters(process.pid) if process.pid else ()
    # As nginx's log names them; nginx itself serves every request.
    signature = "" if process.name == NGINX else None
    if serves := is_replica(process.name):
        signature = f"{process.name}/"
    return status.Service(
        name=process.name,
        pid=process.pid,
        state=", ".join(filter(None, (process.state.lower(), role))),
        started=process.started,
        memory=sum(map(memory, [process.pid, *workers, *others])) if process.pid else 0,
        signature=signature,
        workers=[
            status.Worker(pid, memory(pid), f"{signature}{pid}" if serves else None)
            for pid in workers
        ]
        + [status.Worker(pid, memory(pid), None, "metrics") for pid in others],
    )
