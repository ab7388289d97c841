"""OBSERVE=1: Prometheus beside the stack, and what it asks; all are programs of the system."""

import http.client
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from kit.errors import KitError
from kit.local import sentinel
from kit.local.sentinel import SERVERS
from kit.local.services import Service, socket_of
from kit.settings import CHECKOUT, Settings
from kit.state import StateFolder, write_private
from kit.system.readiness import Answer

PROMETHEUS: Final = "prometheus"
_STORE, _LOG, _PROBE = "store-exporter", "log-exporter", "probe"
OBSERVERS: Final = (PROMETHEUS, _STORE, _LOG, _PROBE)
"""Their ports follow one another."""
# By the projects' own names, and by Debian's.
_PROGRAMS = {
    PROMETHEUS: ("prometheus",),
    _STORE: ("redis_exporter", "prometheus-redis-exporter"),
    _LOG: ("mtail",),
    _PROBE: ("blackbox_exporter", "prometheus-blackbox-exporter"),
}
_FILES = CHECKOUT / "compose" / "observe"
_LISTENS = ("--web.listen-address=", "--port=")
# Where each says that it is well.
_HEALTH = {PROMETHEUS: "/-/ready", _STORE: "/health", _LOG: "/", _PROBE: "/-/healthy"}


def services(settings: Settings, state: StateFolder) -> list[Service]:
    """Return the observers' services, and write their configuration.

    Raises:
        KitError: a program is missing.
    """
    if not settings.observe:
        return []
    ports = ports_of(settings)
    data = state.data / "prometheus"
    data.mkdir(exist_ok=True)
    copies = {name: state.run / name for name in ("rules.yml", "blackbox.yml", "nginx.mtail")}
    for name, path in copies.items():
        path.write_bytes((_FILES / name).read_bytes())
    configuration, logins = state.run / "prometheus.yml", state.run / "store-logins.json"
    # YAML, as all JSON is.
    asked = json.dumps(_configuration(settings, state, ports, copies["rules.yml"]), indent=1)
    write_private(configuration, asked)
    user, password = _login(settings, state)
    # By server: another one, which anybody may ask the exporter for, must not get the password.
    stores = [*_stores(settings, state).values()]
    stores += [url.replace("://", f"://{user}@", 1) for url in stores if user]
    write_private(logins, json.dumps(dict.fromkeys(stores, password)))
    options = {
        PROMETHEUS: [
            f"--web.listen-address=127.0.0.1:{ports[PROMETHEUS]}",
            f"--config.file={configuration}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.size=512MB",
        ],
        _STORE: [
            f"--web.listen-address=127.0.0.1:{ports[_STORE]}",
            *([f"--redis.password-file={logins}"] if password else []),
        ],
        _LOG: [
            f"--port={ports[_LOG]}",
            "--address=127.0.0.1",
            "--logtostderr",
            f"--progs={copies['nginx.mtail']}",
            f"--logs={state.log / 'nginx.access.log'}",
        ],
        _PROBE: [
            f"--web.listen-address=127.0.0.1:{ports[_PROBE]}",
            f"--config.file={copies['blackbox.yml']}",
        ],
    }
    # What they read at their start, if it changed.
    digest = asked + "".join(path.read_text(encoding="utf-8") for path in copies.values())
    return [
        Service(
            name,
            (_program(name, settings), *options[name]),
            data if name == PROMETHEUS else state.run,
            priority=400,
            env={"REDIS_USER": user} if name == _STORE else {},
            config=digest,
        )
        for name in OBSERVERS
    ]


def ports_of(settings: Settings) -> dict[str, int]:
    """Return the port of each observer on 127.0.0.1."""
    return {name: settings.observe_port + number for number, name in enumerate(OBSERVERS)}


def find(state: StateFolder, replicas: Iterable[str]) -> None:
    """Let Prometheus find these replicas; it looks at the file again by itself."""
    found = []
    for name in replicas:
        started = json.loads(state.service_spec(name).read_text(encoding="utf-8"))
        address = started["env"].get("METRICS", "0")
        if not address.startswith(("unix:", "0")):
            found.append({"targets": [address], "labels": {"instance": name}})
    write_private(state.run / "replicas.json", json.dumps(found))


def probe(name: str, argv: Sequence[str]) -> Answer:
    """Ask an observer whether it is ready, by the command that it was started with."""
    listens = next(word for word in argv if word.startswith(_LISTENS))
    port = int(re.split("[:=]", listens)[-1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", _HEALTH[name])
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return Answer(f"port {port} does not answer ({error})")
    finally:
        connection.close()
    return Answer() if status < 500 else Answer(f"it answers {status}")


def _configuration(
    settings: Settings, state: StateFolder, ports: Mapping[str, int], rules: Path
) -> dict[str, object]:
    def asked(name: str, instance: str, **labels: str) -> dict[str, object]:
        targets = [f"127.0.0.1:{ports[name]}"]
        return {"targets": targets, "labels": {"instance": instance, **labels}}

    # These two ask whatever a scrape names.
    store = [asked(_STORE, n, __param_target=url) for n, url in _stores(settings, state).items()]
    url = f"http://127.0.0.1:{settings.port}{settings.prefix}/livez"
    edge = [asked(_PROBE, url, __param_target=url, __param_module="answer")]
    return {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": "app", "file_sd_configs": [{"files": [str(state.run / "replicas.json")]}]},
            {"job_name": "store", "metrics_path": "/scrape", "static_configs": store},
            {"job_name": "nginx", "static_configs": [asked(_LOG, "nginx")]},
            {"job_name": "edge", "metrics_path": "/probe", "static_configs": edge},
        ],
    }


def _stores(settings: Settings, state: StateFolder) -> dict[str, str]:
    """Return the URLs of the store's servers by their names, without logins."""
    if url := settings.redis_url:
        parts = urlsplit(url)
        at = parts.netloc.rpartition("@")[2]
        # The exporter knows no Sentinel and no cluster.
        plain = parts._replace(netloc=at, query="").geturl()
        return {} if "+" in parts.scheme else {"store": plain}
    if not settings.own_store:
        return {}
    names = SERVERS if settings.store == "sentinel" else SERVERS[:1]
    return {name: f"unix://{socket_of(name, state)}" for name in names}


def _login(settings: Settings, state: StateFolder) -> tuple[str, str]:
    parts = urlsplit(settings.redis_url or "")
    password = unquote(parts.password or "")
    if settings.own_store and settings.store == "sentinel":
        password = sentinel.recorded(state).password
    return unquote(parts.username or ""), password


def _program(name: str, settings: Settings) -> str:
    if name == PROMETHEUS and settings.prometheus_bin:
        return str(settings.prometheus_bin)
    for each in _PROGRAMS[name]:
        if found := shutil.which(each):
            return found
    packages = " ".join(names[-1] for names in _PROGRAMS.values())
    raise KitError(
        f"OBSERVE=1 needs {_PROGRAMS[name][-1]}, which is not on PATH",
        f"on Debian and Ubuntu: apt install {packages}",
        *(["or name the program: PROMETHEUS_BIN=/path/to/prometheus"] * (name == PROMETHEUS)),
        "or without: make up OBSERVE=0",
    )
