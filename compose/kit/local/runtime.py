"""The local runtime: real processes under supervisord, and no Docker."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from kit import status
from kit.console import say, step, warn
from kit.deployment import Replica, await_ready
from kit.errors import KitError
from kit.local import services
from kit.local.nginx import Nginx, rendered_port
from kit.local.services import NGINX, STORE, Service, is_replica
from kit.local.supervisor import Process, Supervisor
from kit.local.table import row
from kit.settings import CHECKOUT, Settings, probe_host
from kit.setup import environment
from kit.state import StateFolder
from kit.system import logs, ports, readiness, release, store_url
from kit.system.processes import children, require_files, runs_as_root
from kit.system.reload import reload

_BROKEN = {"BACKOFF", "FATAL", "EXITED"}


class LocalRuntime:
    """One stack of processes, whose files are in one state folder."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state = StateFolder(settings.state_dir)
        self._environment = environment.to_run(settings)
        self._supervisor = Supervisor(self.state)
        self._nginx = Nginx(settings, self.state, self._environment)
        # The sizes of logs before this verb started their services.
        self._log_starts: dict[str, int] = {}

    # What verbs need.

    @property
    def url(self) -> str:
        """The address of the running stack."""
        return self.state.url or self.settings.url

    def require(self) -> None:
        """Nothing is needed but the Python that runs this."""

    def is_running(self) -> bool:
        """Whether the stack's supervisord runs."""
        return self._supervisor.is_running()

    def orphans(self) -> list[str]:
        """Return the services that run without a supervisord."""
        return [] if self.is_running() else self._supervisor.living()

    def enter(self, *, to_deploy: bool) -> None:
        """Continue in the environment for a deployment, or in that of the running stack.

        Raises:
            KitError: the environment cannot be made, or was removed.
        """
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

    def shut_down(self, *, data: bool) -> list[str]:
        """Stop every process; the data goes with the state folder, and not before."""
        del data
        return self._supervisor.shut_down()

    def tidy(self) -> None:
        """Remove the sockets if nothing runs, so that nothing is left outside the state folder."""
        if not self.is_running():
            self.state.remove_sockets()

    def show_status(self) -> None:
        """Print the table of services and workers."""
        served: Counter[str] = Counter()
        for path in self.state.log.glob("nginx.access.log*"):
            with path.open(encoding="utf-8", errors="replace") as file:
                served += logs.served_by(file)
        status.show(
            map(row, self._supervisor.settled().values()),
            served,
            self.url,
            f"state: {self.state.root}",
            "requests: in nginx's access log and its two rotated ones (10 MB each)",
        )

    def follow_logs(self, service: str | None) -> None:
        """Print the logs of one service, or of all, until interrupted."""
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

    # What a deployment needs: see `kit.deployment.Stack`.

    def prepare(self) -> None:
        if former := self._supervisor.former_root():
            warn(f"{former} has moved to {self.state.root}: stopping all, which runs on its paths")
            self._supervisor.shut_down()
        if not self.is_running():
            self.state.remove_sockets()
        self.state.create()
        self._require_port()
        self._require_store()
        require_files(services.files_of(self.settings))
        if runs_as_root():
            warn("nginx and Gunicorn run as root, like you; an ordinary user is safer")
        self._supervisor.write_launcher(self._environment)
        # This freezes the release, before anything starts.
        wanted = self._wanted(self._names())
        if self.is_running():
            self._supervisor.adopt(wanted)
            return
        with step("supervisord"):
            self._supervisor.start(wanted, self._environment)

    def ensure_store(self) -> bool:
        if not self.settings.own_store:
            return False
        store = services.store(self.settings, self.state, self._environment)
        if self._is_as_wanted(store):
            await_ready(self, STORE)
            return False
        with step("Valkey"):
            self._launch(store)
            await_ready(self, STORE)
        return True

    def replicas(self) -> list[Replica]:
        found = self._supervisor.processes()
        return [Replica(name, found[name].runs) for name in self._names()]

    def is_current(self, replica: Replica) -> bool:
        return self._supervisor.is_as_described(self._replica(replica.name))

    def start(self, count: int) -> list[Replica]:
        names = self._names()
        last = _number(names[-1]) if names else 0
        new = [f"app-{last + more}" for more in range(1, count + 1)]
        self._supervisor.adopt(self._wanted([*names, *new]))
        for name in new:
            self._launch(self._replica(name))
        return [Replica(name, runs=True) for name in new]

    def stop(self, replicas: Sequence[Replica]) -> None:
        self._supervisor.drop(*(replica.name for replica in replicas))

    def route(self, replicas: Sequence[Replica]) -> None:
        nginx = self._supervisor.processes().get(NGINX)
        if nginx and nginx.pid and self._nginx.reroute([replica.name for replica in replicas]):
            self._reload(nginx)

    def ensure_nginx(self, replicas: Sequence[Replica]) -> bool:
        names = [replica.name for replica in replicas]
        if self._is_as_wanted(self._nginx.service):
            if changed := self._nginx.install(names):
                self._reload(self._supervisor.processes()[NGINX])
            await_ready(self, NGINX)
            return changed
        with step("nginx"):
            self._nginx.install(names)
            self._launch(self._nginx.service)
            await_ready(self, NGINX)
        return True

    def finish(self) -> list[str]:
        gone = [STORE] if STORE in self.services() and not self.settings.own_store else []
        for name in gone:
            with step(f"stopping {name}"):
                self._supervisor.drop(name)
        self.state.record(self.settings.url, self._environment.root)
        release.prune(self.state.releases, self._release)
        return gone

    def restart_service(self, name: str) -> None:
        self._supervisor.stop(name)
        self._note_log(name)
        self._supervisor.start_again(name)

    def services(self) -> list[str]:
        return list(self._supervisor.processes())

    def probe(self, name: str) -> Callable[[], readiness.Answer]:
        # As the replicas were started: a restart does not need the same settings again.
        a_replica = name if is_replica(name) else next(iter(self._names()), name)
        env = self._supervisor.described(a_replica)["env"]
        host = probe_host(env.get("TRUSTED_HOSTS", self.settings.trusted_hosts))
        workers = int(env.get("WORKERS", 0))

        def ask() -> readiness.Answer:
            process = self._supervisor.processes()[name]
            if process.state in _BROKEN:
                return readiness.Answer(f"it ended ({process.state})", is_final=True)
            if name == STORE:
                return readiness.store(services.socket_of(STORE, self.state))
            if name == NGINX:
                # It starts workers once it listens. Until then the answer may be that of another
                # user, who took the port first.
                if not children(process.pid):
                    return readiness.Answer("it does not listen yet")
                return readiness.nginx(rendered_port(self.state) or self.settings.port, host)
            if (found := len(children(process.pid))) < workers:
                return readiness.Answer(f"{found} of {workers} workers run")
            return readiness.replica(services.socket_of(name, self.state), host)

        return ask

    def last_words(self, name: str) -> str:
        start = self._log_starts.get(name, 0)
        return logs.last_words(
            logs.last_lines(self.state.service_log(name), logs.READ_LINES, start)
        )

    def summary(self) -> dict[str, str]:
        own = self.settings.own_store
        return {
            "nginx": f"127.0.0.1:{self.settings.port}",
            "release": self._release.name,
            "store": "Valkey (`make down` keeps its data)" if own else "yours, at REDIS_URL",
        }

    @cached_property
    def _release(self) -> Path:
        return release.freeze(CHECKOUT / "app", self.state.releases)

    def _replica(self, name: str) -> Service:
        return services.replica(name, self.settings, self.state, self._environment, self._release)

    def _require_port(self) -> None:
        """Refuse a taken port before anything starts, unless our own nginx listens on it."""
        if self._supervisor.is_running():
            nginx = self._supervisor.processes().get(NGINX)
            if nginx and nginx.pid and rendered_port(self.state) == self.settings.port:
                return
        elif orphans := self._supervisor.end_orphans():
            warn(f"supervisord was killed; stopped what it left behind: {', '.join(orphans)}")
        ports.require_free(self.settings.port)

    def _require_store(self) -> None:
        """Refuse a store that does not answer at all: waiting for replicas would not help."""
        url = self.settings.redis_url
        if url and (problem := store_url.refusal(url)):
            raise KitError(
                f"cannot connect to the store at REDIS_URL: {problem}",
                "start that store or correct REDIS_URL; unset it to use the kit's own store",
            )

    def _names(self) -> list[str]:
        """Return the names of the replicas that supervisord knows, in order."""
        if not self.is_running():
            return []
        return sorted(filter(is_replica, self._supervisor.processes()), key=_number)

    def _wanted(self, replicas: Sequence[str]) -> list[Service]:
        """Return the services that supervisord has to know, with these replicas."""
        wanted = [*map(self._replica, replicas), self._nginx.service]
        if self.settings.own_store:
            wanted.append(services.store(self.settings, self.state, self._environment))
        return wanted

    def _launch(self, service: Service) -> None:
        self._note_log(service.name)
        self._supervisor.launch(service)

    def _note_log(self, name: str) -> None:
        log = self.state.service_log(name)
        self._log_starts[name] = log.stat().st_size if log.exists() else 0

    def _is_as_wanted(self, service: Service) -> bool:
        process = self._supervisor.processes()[service.name]
        return process.runs and self._supervisor.is_as_described(service)

    def _reload(self, nginx: Process) -> None:
        reload(
            lambda: self._supervisor.signal(NGINX, "HUP"),
            lambda: children(nginx.pid),
            "`make logs SERVICE=nginx` shows why, `make restart SERVICE=nginx` restarts it",
        )


def _number(name: str) -> int:
    return int(name.removeprefix("app-"))
