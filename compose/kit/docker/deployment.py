"""The change of a project's containers to what its settings say."""

from collections.abc import Mapping
from dataclasses import dataclass

from kit.console import step
from kit.deployment import await_ready
from kit.docker import credentials
from kit.docker.containers import APP, NGINX, STORE, find
from kit.docker.images import Images
from kit.docker.project import Project, mark
from kit.docker.upstream import Upstream
from kit.runtime import Replica, Runtime
from kit.settings import probe_host
from kit.system import readiness


@dataclass(frozen=True, slots=True)
class DockerDeployment:
    """Containers of one image: see `kit.runtime.Deployment`.

    Attributes:
        variables: of the Compose files, with the digest of what each service is made from.
    """

    runtime: Runtime
    project: Project
    images: Images
    variables: Mapping[str, str]

    def ensure_store(self) -> bool:
        return self.runtime.settings.own_store and self._ensure(STORE, "the store")

    def run_release_command(self) -> None:
        pass

    def is_current(self, replica: Replica) -> bool:
        container = find(self.project.containers(), replica.name)
        return container.config == self.variables[mark(APP)]

    def start(self, count: int) -> list[Replica]:
        before = self.project.containers(APP)
        # Left alone, nginx asks the engine's DNS, and uses a container before it is ready.
        if nginx := Upstream.of(self.project):
            nginx.narrow([container for container in before if container.runs])
        self._up(APP, "--no-recreate", "--scale", f"{APP}={len(before) + count}")
        names = {container.name for container in before}
        return [replica for replica in self.runtime.replicas() if replica.name not in names]

    def ensure_nginx(self) -> bool:
        changed = self._ensure(NGINX, "nginx")
        self.runtime.route(self.runtime.replicas())
        s = self.runtime.settings
        tls = "tls" in s.overlays
        port, host = s.tls_port if tls else s.port, probe_host(s.trusted_hosts)
        await_ready(self.runtime, NGINX, lambda: readiness.nginx(port, host, "/readyz", tls=tls))
        return changed

    def finish(self) -> list[str]:
        wanted = {APP, NGINX, STORE} if self.runtime.settings.own_store else {APP, NGINX}
        others = [each for each in self.project.containers() if each.service not in wanted]
        names = [container.name for container in others]
        if others:
            with step(f"stopping {', '.join(names)}"):
                self.project.stop(others)
        self.images.prune()
        self.project.prune_mounted()
        return names

    def observe(self) -> list[str]:
        return []

    @property
    def code(self) -> str:
        return f"image {self.variables['APP_IMAGE']}"

    def summary(self) -> dict[str, str]:
        s = self.runtime.settings
        server = "Valkey" if "valkey" in s.overlays else "Redis"
        tls = f", :{s.tls_port} (TLS)" if "tls" in s.overlays else ""
        return {
            "nginx": f"{s.bind_address}:{s.port}{tls}",
            "image": self.variables["APP_IMAGE"],
            "store": f"{server} (`make down` keeps its data)"
            if s.own_store
            else "yours, at REDIS_URL",
            "project": self.project.name,
        }

    def _ensure(self, service: str, title: str) -> bool:
        """Make the one container of a service as wanted; return whether it is another one now."""
        before = self.project.containers(service)
        wanted = (self.variables[mark(service)], True)
        if [(each.config, each.runs) for each in before] != [wanted]:
            with step(title):
                self._up(service)
                await_ready(self.runtime, service)
        await_ready(self.runtime, service)
        after = self.project.containers(service)
        return {(c.id, c.started) for c in after} != {(c.id, c.started) for c in before}

    def _up(self, service: str, *options: str) -> None:
        self.project.compose(
            "up", "--detach", "--no-build", *options, service, variables=self.variables
        )


def prepare(runtime: Runtime, project: Project, images: Images) -> DockerDeployment:
    """Make secrets, the Compose files and the images, and return a deployment of them."""
    settings, state = runtime.settings, runtime.state
    files = credentials.prepare(settings, state)
    project.write_overlay(files)
    if "tls" in settings.overlays and "TLS_DIR" not in settings.compose:
        credentials.make_certificate(state.certificates)
    # Now, because an interrupted start may leave containers.
    state.record_project(project.name, settings.url)
    variables = {**files, "APP_IMAGE": images.app}
    images.provide(variables)
    return DockerDeployment(runtime, project, images, {**variables, **project.marks(variables)})
