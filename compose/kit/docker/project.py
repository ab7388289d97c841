"""One Compose project: what it is told, and which containers it has."""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kit import release, services
from kit.engine import Engine
from kit.errors import KitError
from kit.folder import StateFolder
from kit.settings import PROJECT, Settings

APP, STORE, PROXY = "app", "redis", "nginx"
_COMPOSE = PROJECT / "compose"
_LABEL = "com.docker.compose"
_OWN_LABEL = "unsticky.config"
# A container of Redis needs its data and a half: buffers, and what is copied while the file is
# written anew.
_UNITS = {"": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3}


@dataclass(frozen=True, slots=True)
class Container:
    """What the engine knows of one container; ``pid`` is 0 where there is no process."""

    id: str
    service: str
    number: int
    state: str
    """As the engine calls it: created, running, paused, restarting, exited or dead."""
    health: str
    """healthy, unhealthy or starting; empty without a health check."""
    exit_code: int
    restarts: int
    started: float
    """Seconds since the epoch."""
    pid: int
    addresses: Mapping[str, str]
    """By the network's name without the project's."""
    env: Mapping[str, str]
    config: str
    """Digest of what it was made from (see `Project.mark`)."""

    @property
    def name(self) -> str:
        """As in the table, in messages and in ``SERVICE=``: app-1, nginx, redis."""
        return f"{APP}-{self.number}" if self.service == APP else self.service

    @property
    def host(self) -> str:
        """The name that it gives itself, in ``X-Served-By`` and in logs."""
        return self.id[:12]

    @property
    def runs(self) -> bool:
        """Whether it has a process that is not paused."""
        return self.state == "running"


class Project:
    """The containers of one state folder."""

    def __init__(self, settings: Settings, folder: StateFolder, engine: Engine) -> None:
        """Speak of a project, which need not exist."""
        self._settings, self._folder, self._engine = settings, folder, engine
        digest = hashlib.sha256(os.fsencode(folder.root)).hexdigest()[:8]
        self.name = settings.compose.get("COMPOSE_PROJECT_NAME") or f"unsticky-{digest}"

    @property
    def overlays(self) -> list[str]:
        """The overlays in the order in which Compose is to read them."""
        if self._settings.own_store:
            return list(self._settings.overlays)
        # Valkey, too, would be a store of the kit's own.
        return [*(o for o in self._settings.overlays if o != "valkey"), "external"]

    def compose(self, *arguments: str, variables: Mapping[str, str]) -> str:
        """Run ``docker compose`` on the project's files; return what it printed.

        Args:
            arguments: of Compose.
            variables: those of the files, over the settings'.

        Raises:
            KitError: it failed.
        """
        return self._engine.ask(*self.command(*arguments), env=self.environment(variables))

    def command(self, *arguments: str) -> list[str]:
        """Return the arguments of ``docker`` for a command of Compose on the project's files."""
        files = ["compose.yaml", *(f"compose.{name}.yaml" for name in self.overlays)]
        return [
            "compose", "--project-name", self.name,
            # The kit has read `.env` itself, and Compose reads it by other rules.
            "--env-file", os.devnull, "--project-directory", str(_COMPOSE),
            *(part for name in files for part in ("--file", str(_COMPOSE / name))),
            "--file", str(self._folder.compose_overlay), *arguments,
        ]  # fmt: skip

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of such a command: the settings' variables, and these."""
        return {**os.environ, **self._variables(), **variables}

    def write_overlay(self, files: Mapping[str, str]) -> None:
        """Write what is known here only, so that Compose sees a change of it.

        These are the application's own variables, and which files a container has mounted or
        reads at its start.
        """
        environment = services.handed_over(self._settings)
        app = {
            "environment": {name: _escaped(value) for name, value in environment.items()},
            "labels": _labels(APP, _times(files, "SECRET_KEY_FILE", "REDIS_URL_FILE")),
        }
        nginx = {"labels": _labels(PROXY, _digest_of(PROJECT / "nginx", "*.template"))}
        overlay: dict[str, Any] = {APP: app, PROXY: nginx}
        if self._settings.own_store:
            users = _times(files, "REDIS_USERS_FILE", "REDIS_HEALTH_PASSWORD_FILE")
            conf = _digest_of(_COMPOSE / "redis", "redis.conf")
            overlay[STORE] = {"labels": _labels(STORE, f"{conf} {users}")}
        self._folder.compose_overlay.unlink(missing_ok=True)
        descriptor = os.open(self._folder.compose_overlay, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # JSON is YAML, too.
            json.dump({"services": overlay}, file, indent=1)

    def containers(self) -> list[Container]:
        """Return the project's containers: the store, the replicas in order, nginx."""
        ids = self._engine.ask(
            "container", "ls", "--all", "--quiet", "--filter", f"label={_LABEL}.project={self.name}"
        ).split()
        if not ids:
            return []
        # One may have gone since: what is left is still printed.
        printed = self._engine.attempt("container", "inspect", *ids).stdout
        found = [self._container(entry) for entry in json.loads(printed or "[]")]
        order = {STORE: 0, APP: 1, PROXY: 2}
        return sorted(found, key=lambda c: (order.get(c.service, 3), c.number))

    def mark(self, variables: dict[str, str]) -> None:
        """Add a digest of what each service is to be made from; containers carry it as a label.

        Compose has one of its own, but `config --hash` leaves out what comes from an `env_file`.
        """
        unmarked = {**variables, **{_mark(name): "" for name in (STORE, APP, PROXY)}}
        config = json.loads(self.compose("config", "--format", "json", variables=unmarked))
        for name, service in config["services"].items():
            for changed_without_restart in ("build", "depends_on", "scale"):
                service.pop(changed_without_restart, None)
            service["deploy"].pop("replicas", None)
            text = json.dumps([service, config.get("networks")], sort_keys=True)
            variables[_mark(name)] = hashlib.sha256(text.encode()).hexdigest()[:12]

    def stop(self, containers: Sequence[Container]) -> None:
        """Stop containers gracefully, all at once, and remove them."""
        if ids := [container.id for container in containers]:
            for container in containers:
                if container.state == "paused":
                    # It could not hear that it is to end.
                    self._engine.ask("unpause", container.id)
            self._engine.ask("stop", *ids)
            self._engine.ask("rm", "--force", "--volumes", *ids)

    def remove_all(self, *, data: bool) -> list[str]:
        """Stop and remove the containers, nginx first and the store last, and their networks.

        It needs no file, only the engine's own labels: it ends what other settings started, too.

        Args:
            data: the volumes as well.

        Returns:
            The names of the containers that were running.
        """
        found = self.containers()
        for service in (PROXY, APP, STORE):
            self.stop([container for container in found if container.service == service])
        self.stop([c for c in found if c.service not in {PROXY, APP, STORE}])
        for kind in ("network", "volume") if data else ("network",):
            if names := self._owned(kind):
                self._engine.ask(kind, "rm", *names)
        return [c.name for c in found if c.state in {"running", "paused", "restarting"}]

    def follow_logs(self, container: Container | None, history: int) -> None:
        """Print the last lines of logs, then new ones as they come, until interrupted."""
        chosen = [] if container is None else [container.service]
        if container is not None and container.service == APP:
            chosen = ["--index", str(container.number), APP]
        # The names of the services are all that Compose needs, whatever the settings say today.
        services_only = {c.service: {"image": "-"} for c in self.containers()}
        # It prints for itself; that it was interrupted, or that nobody reads on, is no failure.
        subprocess.run(
            [
                *("docker", "compose", "--project-name", self.name, "--file", "-"),
                *("logs", "--follow", "--tail", str(history), *chosen),
            ],
            check=False, text=True, input=json.dumps({"services": services_only}),
        )  # fmt: skip

    def _owned(self, kind: str) -> list[str]:
        return self._engine.ask(
            kind, "ls", "--quiet", "--filter", f"label={_LABEL}.project={self.name}"
        ).split()

    def _variables(self) -> dict[str, str]:
        s = self._settings
        given = {
            "PORT": str(s.port),
            "TLS_PORT": str(s.tls_port),
            "REPLICAS": str(s.replicas),
            "WORKERS": str(s.workers),
            "WORKER_CLASS": s.worker_class,
            "THREADS": str(s.threads),
            "APP": s.app,
            "TRUSTED_HOSTS": s.trusted_hosts,
            "PROXY_HOPS": str(s.proxy_hops),
            "SERVED_BY": str(int(s.served_by)),
            "SHOP_DEMO": str(int(s.shop_demo)),
            "REDIS_MAXMEMORY": s.redis_maxmemory,
        }
        chosen = {
            "NGINX_UPSTREAM_KEEPALIVE": "0" if s.worker_class == "sync" else "16",
            "NGINX_KEYED_PATHS": services.keyed_paths(s),
            "REDIS_MEMORY": _and_a_half(s.redis_maxmemory),
            "TLS_DIR": str(self._folder.certificates),
            **s.compose,
        }
        return {**chosen, **given, "APP_REQUIREMENTS": requirements(s)}

    def _container(self, entry: Any) -> Container:
        state, labels = entry["State"], entry["Config"]["Labels"]
        return Container(
            id=entry["Id"],
            service=labels[f"{_LABEL}.service"],
            number=int(labels[f"{_LABEL}.container-number"]),
            state=state["Status"],
            health=state.get("Health", {}).get("Status", ""),
            exit_code=state["ExitCode"],
            restarts=entry["RestartCount"],
            started=_seconds(state["StartedAt"]),
            pid=state["Pid"],
            addresses={
                name.removeprefix(f"{self.name}_"): network["IPAddress"]
                for name, network in entry["NetworkSettings"]["Networks"].items()
            },
            env=dict(pair.split("=", 1) for pair in entry["Config"]["Env"] or [] if "=" in pair),
            config=labels.get(_OWN_LABEL, ""),
        )


def requirements(settings: Settings) -> str:
    """Return the names of the files in ``requirements/`` that the image's packages come from."""
    default = "runtime.txt gevent.txt" if settings.worker_class == "gevent" else "runtime.txt"
    return settings.compose.get("APP_REQUIREMENTS", default)


def find(containers: Sequence[Container], name: str) -> Container:
    """Return the container of that name.

    Raises:
        KitError: there is none.
    """
    for container in containers:
        if container.name == name:
            return container
    known = ", ".join(container.name for container in containers)
    raise KitError(f"SERVICE={name} is none of this stack's.", f"It has {known}.")


def _mark(service: str) -> str:
    """Return Compose's variable for the digest of a service."""
    return f"UNSTICKY_CONFIG_{service.upper()}"


def _escaped(value: str) -> str:
    """Keep Compose from filling in what looks like one of its variables."""
    return value.replace("$", "$$")


def _labels(service: str, files: str) -> dict[str, str]:
    return {_OWN_LABEL: f"${{{_mark(service)}:-}}", "unsticky.files": files}


def _digest_of(folder: Path, pattern: str) -> str:
    found = sorted(folder.glob(pattern))
    return release.digest({path.relative_to(folder): path.read_bytes() for path in found})


def _times(files: Mapping[str, str], *names: str) -> str:
    # The times, not the content: who may look at containers must not learn a digest of a secret.
    return " ".join(str(Path(files[name]).stat().st_mtime_ns) for name in names)


def _and_a_half(size: str) -> str:
    found = re.fullmatch(r"(\d+)([a-z]*)", size.lower())
    assert found is not None, size
    return str(int(found[1]) * _UNITS[found[2]] * 3 // 2)


def _seconds(time: str) -> float:
    # RFC 3339 with nanoseconds, of which Python takes six digits.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", time)).timestamp()
