"""The change of a local stack to what its settings say."""

import hashlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from kit.console import step
from kit.deployment import await_ready, exchange
from kit.errors import KitError
from kit.local import mongodb, observers, sentinel, services
from kit.local.nginx import Nginx, rendered_port, rendered_prefix
from kit.local.observers import OBSERVERS
from kit.local.releases import Releases
from kit.local.sentinel import SERVERS
from kit.local.services import Release, Service, is_store
from kit.local.supervisor import Supervisor, digest
from kit.observation import observe
from kit.runtime import Replica, Runtime
from kit.settings import probe_host
from kit.setup import smoke
from kit.setup.environment import Environment
from kit.system import logs
from kit.system import release as releases
from kit.system.processes import children
from kit.system.sentinel import SENTINELS


@dataclass(frozen=True, slots=True)
class LocalDeployment:
    """Services of one release, and of the kit's environment: a `kit.runtime.Deployment`."""

    runtime: Runtime
    supervisor: Supervisor
    nginx: Nginx
    environment: Environment
    release: Release
    releases: Releases

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
        stores, found = self._stores(), self.supervisor.processes()
        ran = [each for each in stores if each.name in SERVERS and found[each.name].runs]
        new = [each for each in stores if each.name in SERVERS and each not in ran]
        # First the one that the others wait for, so that it is named if it is broken.
        new.sort(key=lambda each: each.name != sentinel.latest(self.runtime.state))
        changed = self._ensure("Valkey", *new)
        # A Sentinel that asks the primary before its replicas are there asks again after 10 s.
        sentinels = [each for each in stores if each.name in SENTINELS]
        changed |= self._ensure("Sentinel", *sentinels)
        changed |= self._ensure("MongoDB", *(e for e in stores if e.name == mongodb.NAME))
        for each in ran:
            if sentinels and not self._runs_as_wanted(each):
                sentinel.recorded(self.runtime.state).hand_over(each.name)
            changed |= self._ensure(each.name, each)
        return changed

    def run_release_command(self) -> None:
        state = self.runtime.state
        command = services.release_command(self.runtime.settings, state, self.release)
        # Other settings may name another database.
        done = hashlib.sha256(repr(command).encode()).hexdigest()
        if not command.text or state.released == done or self.release.number:
            return
        with step(f"running {command.text}"):
            ran = subprocess.run(
                ["/bin/sh", "-c", command.text],
                check=False, cwd=command.cwd, env=command.env, stdin=subprocess.DEVNULL,
                # It holds the lock of the verb, even if the verb is killed.
                close_fds=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            )  # fmt: skip
        if ran.returncode:
            raise KitError(
                f"RELEASE_COMMAND={command.text} failed ({ran.returncode}). "
                + logs.last_words(ran.stdout.splitlines()),
                "correct that, then try again; the replicas that ran before go on serving",
            )
        state.record_released(done)

    def is_current(self, replica: Replica) -> bool:
        return self.supervisor.is_as_described(self._replica(replica.name))

    def prepare_smoke_test(self, serving: Sequence[Replica]) -> bool:
        if self.release.number:
            # It has served, and the one beside which it would be tried may be at fault.
            return False
        # More workers of the same are no other release.
        ignored = ("WORKERS", "THREADS")
        spec = json.loads(self._replica("app-0").description(self.runtime.state))
        wanted = digest(spec, *ignored)
        if all(self.supervisor.digest(each.name, *ignored) == wanted for each in serving):
            return False
        if is_tested := smoke.is_on(self.runtime.settings):
            smoke.prepare(self.runtime.settings)
        return is_tested

    def smoke_test(self, replica: Replica | None) -> str:
        settings, state = self.runtime.settings, self.runtime.state
        stage, url = "mixed", settings.url
        if replica:
            stage, url = "direct", f"unix:{services.socket_of(replica.name, state)}"
        elif port := rendered_port(state):
            # Another PORT= or NGINX_PREFIX= takes effect at the end.
            url = f"http://127.0.0.1:{port}{rendered_prefix(state)}"
        command = services.release_command(settings, state, self.release)
        health = self.release.application.health_path
        return smoke.run(settings, stage, url, health, command.cwd, command.env)

    def lives(self, replica: Replica) -> frozenset[int]:
        pid = self.supervisor.processes()[replica.name].pid
        return frozenset({pid, *children(pid)}) if pid else frozenset()

    def start(self, count: int) -> list[Replica]:
        names = [replica.name for replica in self.runtime.replicas()]
        last = services.number(names[-1]) if names else 0
        new = [f"app-{last + more}" for more in range(1, count + 1)]
        self.supervisor.adopt(self._wanted([*names, *new]))
        for name in new:
            self.supervisor.launch(self._replica(name))
        observers.find(self.runtime.state, [*names, *new])
        return [Replica(name, runs=True) for name in new]

    def ensure_nginx(self) -> bool:
        nginx = self.nginx.service
        changed = self.nginx.install([replica.name for replica in self.runtime.replicas()])
        if changed and self._runs_as_wanted(nginx):
            self.nginx.reload(self.supervisor)
        changed |= self._ensure("nginx", nginx)
        self.nginx.record_loaded()
        return changed

    def finish(self) -> list[str]:
        settings, state = self.runtime.settings, self.runtime.state
        wanted = {each.name for each in self._stores()}
        wanted |= {each.name for each in self._observers()}
        found = self.runtime.services()
        gone = [n for n in found if (is_store(n) or n in OBSERVERS) and n not in wanted]
        if gone:
            with step(f"stopping {', '.join(gone)}"):
                self.supervisor.drop(*gone)
        observers.find(state, [replica.name for replica in self.runtime.replicas()])
        started = ["Prometheus"] if self._ensure("Prometheus", *self._observers()) else []
        state.record(settings.url, self.environment.root)
        if self.release.number:
            self.releases.forget_after(self.release.number)
        spec = json.loads(self._replica("app-0").description(state))
        self.releases.record(self.release.folder, self.release.environment.root, digest(spec))
        kept = [each.folder for each in self.releases.served()]
        releases.prune(state.releases, self.release.folder, *kept)
        return [*gone, *started]

    def observe(self) -> Iterator[str]:
        s = self.runtime.settings
        yield from observe(
            s.port, probe_host(s.trusted_hosts), f"{s.prefix}/", s.replicas * s.workers
        )
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
        settings = self.runtime.settings
        store = (
            "Valkey (`make down` keeps its data)" if settings.own_store else "yours, at REDIS_URL"
        )
        if settings.store == "sentinel":
            store = f"{len(SERVERS)} × {store}, {len(SENTINELS)} Sentinels"
        if settings.in_mongodb:
            sessions = mongodb.described(settings)
            uses_redis = settings.own_store or settings.redis_url
            store = f"sessions in {sessions}" + (f"; all else: {store}" if uses_redis else "")
        port = settings.observe_port
        return {
            "nginx": f"{settings.bind_address}:{settings.port}",
            **({"Prometheus": f"127.0.0.1:{port}"} if settings.observe else {}),
            "release": self.release.folder.name,
            "store": store,
            **self.release.application.described(),
        }

    def _ensure(self, title: str, *services: Service) -> bool:
        """Start services that do not run as wanted; return whether any was started."""
        new = [each for each in services if not self._runs_as_wanted(each)]
        with step(title) if new else nullcontext():
            for service in new:
                self.supervisor.launch(service)
            for service in services:
                await_ready(self.runtime, service.name)
        return bool(new)

    def _runs_as_wanted(self, service: Service) -> bool:
        process = self.supervisor.processes()[service.name]
        return process.runs and self.supervisor.is_as_described(service)

    def _stores(self) -> list[Service]:
        return services.stores(self.runtime.settings, self.runtime.state, self.environment)

    def _replica(self, name: str) -> Service:
        settings, state = self.runtime.settings, self.runtime.state
        return services.replica(name, settings, state, self.release)

    def _wanted(self, replicas: Sequence[str]) -> list[Service]:
        """Return the services that supervisord has to know, with these replicas."""
        kept = [*self._stores(), *self._observers()]
        return [*map(self._replica, replicas), self.nginx.service, *kept]

    def _observers(self) -> list[Service]:
        return observers.services(self.runtime.settings, self.runtime.state)
