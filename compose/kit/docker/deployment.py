"""The change of a project's containers to what its settings say: by the script `deploy`."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from kit.console import plain, say
from kit.deployment import await_ready
from kit.docker import build, credentials
from kit.docker.containers import APP, NGINX
from kit.docker.project import Project
from kit.docker.script import PATH, Script
from kit.docker.store import SERVERS
from kit.errors import KitError
from kit.observation import observe
from kit.runtime import Runtime
from kit.settings import probe_host
from kit.setup import application, smoke
from kit.setup.application import Application
from kit.system import readiness
from kit.system.sentinel import SENTINELS

_IMAGES = "PYTHON_IMAGE=, NGINX_IMAGE=, REDIS_IMAGE=, VALKEY_IMAGE=, MONGODB_IMAGE= or APP_IMAGE="


@dataclass(frozen=True, slots=True)
class DockerDeployment:
    """Containers of one image: a `kit.runtime.Deployment`.

    Attributes:
        variables: of the Compose files.
        verb: of the script.
    """

    runtime: Runtime
    project: Project
    application: Application
    variables: Mapping[str, str]
    verb: str

    def change(self) -> list[str]:
        before = self._running()
        if self.runtime.settings.own_store:
            self.project.load_users()
        served = {container.id for container in self.project.containers(APP) if container.runs}
        try:
            self._run(self._smoke_test() if served else {}, served)
        except BaseException:
            self.project.restore_templates()
            # nginx may use those of the deployment.
            with suppress(KitError):
                Script(self.project.name).route([])
            raise
        self.project.keep_templates()
        s = self.runtime.settings
        tls = "tls" in s.overlays
        port, host = s.tls_port if tls else s.port, probe_host(s.trusted_hosts)
        path = self.application.health_path
        await_ready(
            self.runtime, NGINX, lambda: readiness.nginx(port, host, path, s.prefix, tls=tls)
        )
        self.project.prune_mounted()
        after = self._running()
        return sorted({name for name, _ in before ^ after})

    def _running(self) -> set[tuple[str, tuple[str, float]]]:
        return {(c.name, (c.id, c.started)) for c in self.project.containers() if c.runs}

    def _smoke_test(self) -> dict[str, str]:
        """Return the variables of the smoke test, and make what its visitors need."""
        s = self.runtime.settings
        given = {**smoke.variables(s, self.application.health_path), "DEPLOY_SMOKE": ""}
        if smoke.is_on(s) and not s.smoke_command and self.verb != "rollback":
            smoke.prepare(s)
            given["DEPLOY_SMOKE"] = smoke.line(s)
        return given

    def _run(self, smoke_test: Mapping[str, str], served: set[str]) -> None:
        """Run the script; raise an error with its last words if it fails."""
        process = subprocess.Popen(
            [sys.executable, PATH, *self.project.options, self.verb],
            env=self.project.environment({**self.variables, **smoke_test}),
            # It holds the lock of the verb, even if the verb is killed.
            close_fds=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        interrupted = False
        while True:
            # Ctrl-C reaches the script, too, which then goes back.
            try:
                for line in process.stdout:
                    say(f"  {plain(line.rstrip())}")
                _, said = process.communicate()
                break
            except KeyboardInterrupt:
                interrupted = True
        if process.returncode:
            raise KeyboardInterrupt if interrupted else self._failure(said, served)

    def _failure(self, said: str, served: set[str]) -> KitError:
        problem, *hints = said.removeprefix("error: ").rstrip().split("\n  hint: ")
        if problem.startswith("cannot pull"):
            given = self.runtime.settings.compose.items()
            chosen = [f"{name}={image}" for name, image in given if name.endswith("_IMAGE")]
            hints += [f"use your own image with {_IMAGES}", f"now: {' '.join(chosen) or 'none'}"]
        if served & {container.id for container in self.project.containers(APP) if container.runs}:
            hints.append("the replicas that ran before go on serving")
        hints.append(f"`{self.runtime.settings.make('down')}` stops everything")
        return KitError(re.sub(r"^    ", "", problem, flags=re.MULTILINE), *hints)

    def observe(self) -> Iterator[str]:
        s = self.runtime.settings
        yield from observe(
            s.port, probe_host(s.trusted_hosts), f"{s.prefix}/", s.replicas * s.workers
        )

    @property
    def code(self) -> str:
        return f"image {self.project.image}"

    def summary(self) -> dict[str, str]:
        s = self.runtime.settings
        server = "Valkey" if "valkey" in s.overlays else "Redis"
        if s.store == "sentinel":
            server = f"{len(SERVERS)} × {server} with {len(SENTINELS)} Sentinels"
        store = f"{server} (`make down` keeps its data)" if s.own_store else "yours, at REDIS_URL"
        if s.in_mongodb:
            sessions = "yours, at MONGODB_URL" if s.mongodb_url else "MongoDB"
            uses_redis = s.own_store or s.redis_url
            store = f"sessions in {sessions}" + (f"; all else: {store}" if uses_redis else "")
        tls = f", :{s.tls_port} (TLS)" if "tls" in s.overlays else ""
        return {
            "nginx": f"{s.bind_address}:{s.port}{tls}",
            **({"Prometheus": f"127.0.0.1:{s.observe_port}"} if s.observe else {}),
            "image": self.project.image,
            "store": store,
            "project": self.project.name,
            **self.application.described(),
            "data": str(s.data_dir or f"the volume {self.project.name}_data"),
        }


def prepare(runtime: Runtime, project: Project, verb: str) -> DockerDeployment:
    """Make secrets and the Compose files, and return a deployment of them."""
    settings, state = runtime.settings, runtime.state
    app = application.read(settings, state)
    files = credentials.prepare(settings, state, app.variables.get("SECRET_KEY"))
    project.write_overlay(files, app, build.section(settings, state, app))
    if "tls" in settings.overlays and "TLS_DIR" not in settings.compose:
        credentials.make_certificate(state.certificates)
    # Now, because an interrupted start may leave containers.
    state.record_project(project.name, settings.url)
    return DockerDeployment(runtime, project, app, files, verb)
