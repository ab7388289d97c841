"""The change of a local stack to what its settings say."""

import hashlib
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kit.console import step
from kit.deployment import await_ready, exchange
from kit.errors import KitError
from kit.local import services
from kit.local.nginx import Nginx
from kit.local.services import STORE, Release, Service
from kit.local.supervisor import Supervisor
from kit.observation import observe
from kit.runtime import Replica, Runtime
from kit.settings import probe_host
from kit.setup.environment import Environment
from kit.system import logs
from kit.system import release as releases


@dataclass(frozen=True, slots=True)
class LocalDeployment:
    """Services of one release, and of the kit's environment: a `kit.runtime.Deployment`."""

    runtime: Runtime
    supervisor: Supervisor
    nginx: Nginx
    environment: Environment
    release: Release

    def start_supervisor(self) -> None:
        """Start supervisord, or tell the one that runs which services may come."""
        wanted = self._wanted([replica.name for replica in self.runtime.replicas()])
        if self.supervisor.is_running():
            self.supervisor.adopt(wanted)
            return
        with step("supervisord"):
            self.supervisor.start(wanted, self.environment)

    def change(self) -> list[str]:
        return exchange(self.runtime, self)

    def ensure_store(self) -> bool:
        return self.runtime.settings.own_store and self._ensure(self._store(), "Valkey")

    def run_release_command(self) -> None:
        state = self.runtime.state
        command = services.release_command(self.runtime.settings, state, self.release)
        # Other settings may name another database.
        digest = hashlib.sha256(repr(command).encode()).hexdigest()
        if not command.text or state.released == digest:
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
        state.record_released(digest)

    def is_current(self, replica: Replica) -> bool:
        return self.supervisor.is_as_described(self._replica(replica.name))

    def start(self, count: int) -> list[Replica]:
        names = [replica.name for replica in self.runtime.replicas()]
        last = services.number(names[-1]) if names else 0
        new = [f"app-{last + more}" for more in range(1, count + 1)]
        self.supervisor.adopt(self._wanted([*names, *new]))
        for name in new:
            self.supervisor.launch(self._replica(name))
        return [Replica(name, runs=True) for name in new]

    def ensure_nginx(self) -> bool:
        nginx = self.nginx.service
        changed = self.nginx.install([replica.name for replica in self.runtime.replicas()])
        if changed and self._runs_as_wanted(nginx):
            self.nginx.reload(self.supervisor)
        return self._ensure(nginx, "nginx") or changed

    def finish(self) -> list[str]:
        settings, state = self.runtime.settings, self.runtime.state
        gone = [STORE] if STORE in self.runtime.services() and not settings.own_store else []
        for name in gone:
            with step(f"stopping {name}"):
                self.supervisor.drop(name)
        state.record(settings.url, self.environment.root)
        releases.prune(state.releases, self.release.folder)
        return gone

    def observe(self) -> Iterator[str]:
        s = self.runtime.settings
        yield from observe(s.port, probe_host(s.trusted_hosts), "/", s.replicas * s.workers)
        for name in releases.databases(self.release.folder / "code"):
            yield (
                f"{name} was made inside the release, and the next one starts without it: give "
                "your application a path in DATA_DIR, such as "
                f"sqlite:///{self.release.application.data}/{name}"
            )

    @property
    def code(self) -> str:
        return f"release {self.release.folder.name}"

    def summary(self) -> dict[str, str]:
        own = self.runtime.settings.own_store
        return {
            "nginx": f"127.0.0.1:{self.runtime.settings.port}",
            "release": self.release.folder.name,
            "store": "Valkey (`make down` keeps its data)" if own else "yours, at REDIS_URL",
            **self.release.application.described(),
        }

    def _ensure(self, service: Service, title: str) -> bool:
        """Start a service unless it runs as wanted; return whether it was started."""
        if self._runs_as_wanted(service):
            await_ready(self.runtime, service.name)
            return False
        with step(title):
            self.supervisor.launch(service)
            await_ready(self.runtime, service.name)
        return True

    def _runs_as_wanted(self, service: Service) -> bool:
        process = self.supervisor.processes()[service.name]
        return process.runs and self.supervisor.is_as_described(service)

    def _store(self) -> Service:
        return services.store(self.runtime.settings, self.runtime.state, self.environment)

    def _replica(self, name: str) -> Service:
        settings, state = self.runtime.settings, self.runtime.state
        return services.replica(name, settings, state, self.release)

    def _wanted(self, replicas: Sequence[str]) -> list[Service]:
        """Return the services that supervisord has to know, with these replicas."""
        store = [self._store()] if self.runtime.settings.own_store else []
        return [*map(self._replica, replicas), self.nginx.service, *store]
