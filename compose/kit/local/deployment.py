"""The change of a local stack to what its settings say."""

import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from kit.console import step
from kit.deployment import await_ready
from kit.errors import KitError
from kit.local import services
from kit.local.nginx import Nginx
from kit.local.services import STORE, Service
from kit.local.supervisor import Supervisor
from kit.observation import observe
from kit.runtime import Replica, Runtime
from kit.settings import probe_host
from kit.setup.application import Application, described
from kit.setup.environment import Environment
from kit.system import logs, release


class LocalDeployment:
    """Services of one release, in one environment: see `kit.runtime.Deployment`."""

    def __init__(
        self,
        runtime: Runtime,
        supervisor: Supervisor,
        nginx: Nginx,
        environment: Environment,
        application: Application,
        serving: Environment,
        folder: Path,
    ) -> None:
        self._runtime, self._settings, self._state = runtime, runtime.settings, runtime.state
        self._supervisor, self._nginx = supervisor, nginx
        self._environment, self._release = environment, folder
        self._application, self._serving = application, serving

    def start_supervisor(self) -> None:
        """Start supervisord, or tell the one that runs which services may come."""
        wanted = self._wanted([replica.name for replica in self._runtime.replicas()])
        if self._supervisor.is_running():
            self._supervisor.adopt(wanted)
            return
        with step("supervisord"):
            self._supervisor.start(wanted, self._environment)

    def ensure_store(self) -> bool:
        return self._settings.own_store and self._ensure(self._store(), "Valkey")

    def run_release_command(self) -> None:
        command = services.release_command(
            self._settings, self._state, self._application, self._serving, self._release
        )
        # Other settings may name another database.
        name = hashlib.sha256(repr(command).encode()).hexdigest()
        if not command.text or self._state.released == name:
            return
        with step(f"running {command.text}"):
            done = subprocess.run(
                ["/bin/sh", "-c", command.text],
                check=False, cwd=command.cwd, env=command.env, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            )  # fmt: skip
        if done.returncode:
            raise KitError(
                f"RELEASE_COMMAND={command.text} failed ({done.returncode}). "
                + logs.last_words(done.stdout.splitlines()),
                "correct that, then try again; the replicas that ran before go on serving",
            )
        self._state.record_released(name)

    def is_current(self, replica: Replica) -> bool:
        return self._supervisor.is_as_described(self._replica(replica.name))

    def start(self, count: int) -> list[Replica]:
        names = [replica.name for replica in self._runtime.replicas()]
        last = services.number(names[-1]) if names else 0
        new = [f"app-{last + more}" for more in range(1, count + 1)]
        self._supervisor.adopt(self._wanted([*names, *new]))
        for name in new:
            self._supervisor.launch(self._replica(name))
        return [Replica(name, runs=True) for name in new]

    def ensure_nginx(self) -> bool:
        nginx = self._nginx.service
        changed = self._nginx.install([replica.name for replica in self._runtime.replicas()])
        if changed and self._runs_as_wanted(nginx):
            self._nginx.reload(self._supervisor)
        return self._ensure(nginx, "nginx") or changed

    def finish(self) -> list[str]:
        gone = [STORE] if STORE in self._runtime.services() and not self._settings.own_store else []
        for name in gone:
            with step(f"stopping {name}"):
                self._supervisor.drop(name)
        self._state.record(self._settings.url, self._environment.root)
        release.prune(self._state.releases, self._release)
        return gone

    def observe(self) -> Iterator[str]:
        s, app = self._settings, self._application
        yield from observe(s.port, probe_host(s.trusted_hosts), "/", s.replicas * s.workers)
        for name in release.databases(self._release / "code"):
            yield (
                f"{name} was made inside the release, and the next one starts without it: give "
                f"your application a path in DATA_DIR, such as sqlite:///{app.data}/{name}"
            )

    @property
    def code(self) -> str:
        return f"release {self._release.name}"

    def summary(self) -> dict[str, str]:
        own = self._settings.own_store
        return {
            "nginx": f"127.0.0.1:{self._settings.port}",
            "release": self._release.name,
            "store": "Valkey (`make down` keeps its data)" if own else "yours, at REDIS_URL",
            **described(self._application),
        }

    def _ensure(self, service: Service, title: str) -> bool:
        """Start a service unless it runs as wanted; return whether it was started."""
        if self._runs_as_wanted(service):
            await_ready(self._runtime, service.name)
            return False
        with step(title):
            self._supervisor.launch(service)
            await_ready(self._runtime, service.name)
        return True

    def _runs_as_wanted(self, service: Service) -> bool:
        process = self._supervisor.processes()[service.name]
        return process.runs and self._supervisor.is_as_described(service)

    def _store(self) -> Service:
        return services.store(self._settings, self._state, self._environment)

    def _replica(self, name: str) -> Service:
        return services.replica(
            name, self._settings, self._state, self._application, self._serving, self._release
        )

    def _wanted(self, replicas: Sequence[str]) -> list[Service]:
        """Return the services that supervisord has to know, with these replicas."""
        store = [self._store()] if self._settings.own_store else []
        return [*map(self._replica, replicas), self._nginx.service, *store]
