"""One Compose project: its files, its variables, its containers."""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.console import show_line
from kit.docker import mongodb, store
from kit.docker.containers import APP, LABEL, MONGODB, NGINX, STORE, Container, parsed
from kit.docker.credentials import SENTINEL_FILES
from kit.docker.engine import Engine
from kit.docker.mounts import LABEL as LABEL_OF_FILES
from kit.docker.mounts import bind, escaped, times
from kit.settings import CHECKOUT, Settings
from kit.setup.application import Application
from kit.state import StateFolder, write_private
from kit.status import Release
from kit.system import release
from kit.system.sentinel import SENTINELS

_COMPOSE = CHECKOUT / "compose"
_TEMPLATES = CHECKOUT / "nginx"
# A store that is away does not make a replica unhealthy.
_HEALTH_OF_SHOP = "/livez"


class Project:
    """The containers of one state folder."""

    def __init__(self, settings: Settings, state: StateFolder, engine: Engine) -> None:
        self._settings, self._state, self.engine = settings, state, engine
        self._mounted: list[Path] = []
        digest = hashlib.sha256(os.fsencode(state.root)).hexdigest()[:8]
        # What is recorded has containers, even if the state folder has moved.
        given = settings.compose.get("COMPOSE_PROJECT_NAME")
        self.name = given or state.project or f"unsticky-{digest}"

    @property
    def overlays(self) -> list[str]:
        """The overlays, in the order in which Compose reads them."""
        observed = ["observe"] if self._settings.observe else []
        chosen = [*observed, *self._settings.overlays]
        sessions = [MONGODB] if mongodb.runs(self._settings) else []
        if self._settings.own_store:
            sentinel = ["sentinel"] if self._settings.store == "sentinel" else []
            return [*chosen, *sentinel, *sessions]
        # The overlay `valkey` is about the kit's own store.
        return [*(name for name in chosen if name != "valkey"), "external", *sessions]

    @property
    def options(self) -> list[str]:
        """The options of Compose that name the project and its files."""
        shop = [] if self._settings.is_foreign else ["shop"]
        files = ["compose.yaml", *(f"compose.{name}.yaml" for name in (*shop, *self.overlays))]
        return [
            "--project-name", self.name,
            # The kit has read `.env`, and Compose's rules differ.
            "--env-file", os.devnull, "--project-directory", str(_COMPOSE),
            *(part for name in files for part in ("--file", str(_COMPOSE / name))),
            "--file", str(self._state.compose_overlay),
        ]  # fmt: skip

    @property
    def image(self) -> str:
        """The application's image by the name of the release that serves."""
        ids = {container.image for container in self.containers(APP) if container.runs}
        form = "--format={{.ID}} {{.Repository}}:{{.Tag}}"
        shown = self.engine.ask("image", "ls", "--no-trunc", form, f"{self.name}/{APP}")
        names = [line.split()[1] for line in shown.splitlines() if line.split()[0] in ids]
        return next((name for name in names if not name.endswith(":dev")), f"{self.name}/{APP}:dev")

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of a Compose command; these variables win over the settings'."""
        # Compose's own variables, such as COMPOSE_PROFILES, are for the caller's other projects.
        # The image's file needs BuildKit.
        inherited = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith("COMPOSE_") and name != "DOCKER_BUILDKIT"
        }
        return {**inherited, **self._variables(), **variables}

    def write_overlay(
        self, files: Mapping[str, str], application: Application, build: Mapping[str, Any]
    ) -> None:
        """Write a Compose file of what only the kit knows, so that Compose sees its changes.

        It holds the application's own variables, copies of the files that containers mount, because
        the checkout may move or change, and times of what a container reads at its start.
        """
        # Containers mount the second one if there are no static files.
        for needed in (self._state.mounted, self._state.mounted / ".empty"):
            needed.mkdir(exist_ok=True)
        environment = {
            **application.variables,
            "APP": application.name,
            "HEALTH_PATH": _HEALTH_OF_SHOP,
        }
        if self._settings.is_foreign:
            environment["HEALTH_PATH"] = application.health_path
            # Both are secrets here; a Redis of the application's own keeps its name.
            environment.pop("SECRET_KEY", None)
            environment["UNSTICKY_STORE_FILE"] = "/run/secrets/redis_url"
            if "REDIS_URL" in environment or not (
                self._settings.own_store or self._settings.redis_url
            ):
                environment["REDIS_URL_FILE"] = ""
        app: dict[str, Any] = {
            "build": build,
            "environment": {name: escaped(value) for name, value in environment.items()},
            "labels": {LABEL_OF_FILES: times(files, "SECRET_KEY_FILE", "REDIS_URL_FILE")},
        }
        if folder := self._settings.data_dir:
            # Its files are the caller's.
            app["user"] = f"{os.getuid()}:{os.getgid()}"
            app["volumes"] = [bind(folder, "/srv/code/instance", read_only=False)]
        # In one place, so that nginx reloads them without a restart.
        templates, former = self._state.templates, self._state.former_templates
        templates.mkdir(exist_ok=True)
        # If there are former ones, a deployment was killed, and its own never served.
        if not former.exists():
            write_private(former, json.dumps(_texts(templates)))
        self._write_templates(_texts(_TEMPLATES))
        nginx = {"volumes": [bind(templates, "/etc/nginx/templates")]}
        services: dict[str, Any] = {APP: app, NGINX: nginx}
        overlay: dict[str, Any] = {"services": services}
        if self._settings.own_store:
            services |= self._store()
        if self._settings.observe:
            services |= self._observers(files)
        if self._settings.store == "sentinel":
            paths = {name: str(self._state.secrets / name) for name in SENTINEL_FILES}
            paths["redis_url"] = files["REDIS_URL_FILE"]
            overlay["secrets"] = {name: {"file": escaped(path)} for name, path in paths.items()}
        if self._settings.in_mongodb:
            names = [path.name for path in mongodb.FOLDER.iterdir()]
            runs = mongodb.runs(self._settings)
            kept = self._kept(mongodb.FOLDER, *names) if runs else None
            mongodb.join(overlay, self._state, files, kept)
        # JSON is YAML, too.
        write_private(self._state.compose_overlay, json.dumps(overlay, indent=1))

    def _store(self) -> dict[str, Any]:
        """Return what `write_overlay` adds to the store's services."""
        several = self._settings.store == "sentinel"
        files = ("redis.conf", *(["sentinel.sh"] if several else []))
        kept = self._kept(_COMPOSE / "redis", *files)
        binds = [bind(kept / name, f"/etc/redis/{name}") for name in files]
        server = {"labels": {LABEL_OF_FILES: kept.name}, "volumes": binds}
        if not several:
            return {STORE: server}
        watching = {**server, "volumes": binds[1:]}
        return dict.fromkeys(store.SERVERS, server) | dict.fromkeys(SENTINELS, watching)

    def _observers(self, files: Mapping[str, str]) -> dict[str, Any]:
        """Return what `write_overlay` adds to the services that watch the others."""
        folder = _COMPOSE / "observe"
        names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        mounts = {"volumes": [bind(self._kept(folder, *names), "/etc/observe")]}
        found: dict[str, Any] = dict.fromkeys(("prometheus", "blackbox"), mounts)
        if "grafana" in self._settings.overlays:
            found["grafana"] = mounts
        if self._settings.own_store:
            # It reads the password at its start only.
            found["store-exporter"] = {
                "labels": {LABEL_OF_FILES: times(files, "REDIS_HEALTH_PASSWORD_FILE")}
            }
        return found

    def load_users(self) -> None:
        """Let a store that runs read its users and passwords again, if they changed."""
        store.load_users(self.engine, self.containers(), self._state.secrets)

    def keep_templates(self) -> None:
        """Forget those before this deployment."""
        self._state.former_templates.unlink(missing_ok=True)

    def restore_templates(self) -> None:
        """Put back those before a deployment that failed or was killed, if there were any."""
        former = self._state.former_templates
        if not former.exists():
            return
        if content := json.loads(former.read_text(encoding="utf-8")):
            self._write_templates(content)
        former.unlink()

    def _write_templates(self, content: Mapping[str, str]) -> None:
        folder = self._state.templates
        for path in folder.iterdir():
            if path.name not in content:
                path.unlink()
        for name, text in content.items():
            (folder / name).write_text(text, encoding="utf-8")
            (folder / name).chmod(0o644)

    def releases(self) -> list[Release]:
        """Return the releases, the newest first, with the times when their images were built."""
        using = {container.image for container in self.containers(APP) if container.runs}
        form = "--format={{.Tag}}\t{{.ID}}\t{{.CreatedAt}}"
        shown = self.engine.ask("image", "ls", "--no-trunc", form, f"{self.name}/{APP}")
        rows = re.findall(r"^r(\d+)\t(\S+)\t(.*)$", shown, re.MULTILINE)
        rows.sort(key=lambda row: int(row[0]), reverse=True)
        current = next((number for number, image, _ in rows if image in using), None)
        return [
            Release(int(number), built, f"image {image}", number == current)
            for number, image, built in rows
        ]

    def containers(self, service: str = "") -> list[Container]:
        """Return the containers of a service, or all: store, replicas in order, nginx."""
        ids = self.engine.ask(
            "container", "ls", "--all", "--quiet", "--filter", f"label={LABEL}.project={self.name}"
        ).split()
        if not ids:
            return []
        # If one has gone since, the others are still printed.
        printed = self.engine.attempt("container", "inspect", *ids).stdout
        found = [parsed(entry, self.name) for entry in json.loads(printed or "[]")]
        order = {**dict.fromkeys((*store.SERVERS, MONGODB), 0), APP: 1, NGINX: 2}
        found = [container for container in found if service in {"", container.service}]
        return sorted(found, key=lambda c: (order.get(c.service, 3), c.service, c.number))

    def stop(self, containers: Sequence[Container]) -> None:
        """Stop containers gracefully, all at once, and remove them."""
        if ids := [container.id for container in containers]:
            for container in containers:
                if container.state == "paused":
                    # It would receive the signal only once it continues.
                    self.engine.ask("unpause", container.id)
            self.engine.ask("stop", *ids)
            self.engine.ask("rm", "--force", "--volumes", *ids)

    def remove_all(self, *, data: bool) -> list[str]:
        """Stop and remove the containers, nginx first and the store last, and their networks.

        This needs only the engine's labels, so it also stops what other settings started. With the
        data, volumes and images go as well. It returns the names of the containers that ran.
        """
        found = self.containers()
        groups = {NGINX: 0, APP: 1, **dict.fromkeys((*store.SERVERS, MONGODB), 3)}
        # Sentinels and all else stop before the servers: none of these is missed then.
        for number in range(4):
            self.stop([each for each in found if groups.get(each.service, 2) == number])
        for kind in ("network", "volume") if data else ("network",):
            if names := self._owned(kind):
                self.engine.ask(kind, "rm", *names)
        if data and (images := self.engine.ask("image", "ls", "--quiet", f"{self.name}/{APP}")):
            self.engine.ask("image", "rm", "--force", *set(images.split()))
        return [c.name for c in found if c.state in {"running", "paused", "restarting"}]

    def follow_logs(self, container: Container | None, history: int) -> None:
        """Print the last lines of logs, then new lines, until interrupted."""
        chosen = [] if container is None else [container.service]
        if container is not None and container.service == APP:
            chosen = ["--index", str(container.number), APP]
        # Compose needs the services' names only, and the settings may differ today.
        services_only = {c.service: {"image": "-"} for c in self.containers()}
        command = [
            *("docker", "compose", "--project-name", self.name, "--file", "-"),
            *("logs", "--follow", "--tail", str(history), *chosen),
        ]
        with subprocess.Popen(
            command, text=True, errors="replace", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as compose:
            assert compose.stdin is not None
            assert compose.stdout is not None
            compose.stdin.write(json.dumps({"services": services_only}))
            compose.stdin.close()
            try:
                for line in compose.stdout:
                    show_line(line.rstrip("\r\n"))
            finally:
                compose.terminate()

    def prune_mounted(self) -> None:
        """Remove old copies of files that containers mounted."""
        release.prune(self._state.mounted, *self._mounted)

    def _kept(self, folder: Path, *names: str) -> Path:
        """Copy files into the state folder, and return the folder of that copy."""
        content = {Path(name): (folder / name).read_bytes() for name in names}
        kept = release.keep(content, self._state.mounted)
        self._mounted.append(kept)
        return kept

    def _owned(self, kind: str) -> list[str]:
        return self.engine.ask(
            kind, "ls", "--quiet", "--filter", f"label={LABEL}.project={self.name}"
        ).split()

    def _variables(self) -> dict[str, str]:
        s = self._settings
        valkey = s.compose.get("VALKEY_IMAGE", store.VALKEY)
        return {
            "REDIS_MEMORY": store.memory(s.redis_maxmemory),
            "TLS_DIR": str(self._state.certificates),
            **s.compose,
            # compose.valkey.yaml knows only the first server.
            **({"REDIS_IMAGE": valkey} if "valkey" in s.overlays else {}),
            "REDIS_MIN_REPLICAS": str(s.redis_min_replicas),
            **s.of_nginx,
            "TRUSTED_PROXIES": s.of_nginx["NGINX_TRUSTED_PROXIES"],
            "NGINX_STATIC_DIR": str(s.nginx_static_dir or self._state.mounted / ".empty"),
            **s.of_replicas,
            "APP_DIR": str(s.app_dir),
            "READY_TIMEOUT": str(s.ready_timeout),
            "RELEASE_COMMAND": s.release_command,
            "SMOKE_COMMAND": s.smoke_command if s.smoke_seconds else "",
            "PORT": str(s.port),
            "TLS_PORT": str(s.tls_port),
            "REPLICAS": str(s.replicas),
            "REDIS_MAXMEMORY": s.redis_maxmemory,
            "METRICS": "0.0.0.0:9200" if s.metrics else "0",
            "PROMETHEUS_PORT": str(s.observe_port),
        }


def _texts(templates: Path) -> dict[str, str]:
    return {p.name: p.read_text(encoding="utf-8") for p in templates.glob("*.template")}
