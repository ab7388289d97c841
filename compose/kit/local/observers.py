"""OBSERVE=1: Prometheus beside the stack, and an exporter of its store; programs of the system."""

import http.client
import json
import shutil
from collections.abc import Iterable, Sequence
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
EXPORTER: Final = "store-exporter"
OBSERVERS: Final = (EXPORTER, PROMETHEUS)
_EXPORTERS = ("redis_exporter", "prometheus-redis-exporter")


def services(settings: Settings, state: StateFolder) -> list[Service]:
    """Return the observers' services, and write their configuration.

    Raises:
        KitError: a program is missing.
    """
    if not settings.observe:
        return []
    port = settings.observe_port
    data = state.data / "prometheus"
    data.mkdir(exist_ok=True)
    configuration = state.run / "prometheus.yml"
    rules = state.run / "rules.yml"
    rules.write_bytes((CHECKOUT / "compose" / "observe" / "rules.yml").read_bytes())
    # YAML, as all JSON is.
    write_private(configuration, json.dumps(_configuration(settings, state, rules), indent=1))
    digest = configuration.read_text(encoding="utf-8") + rules.read_text(encoding="utf-8")
    prometheus = (
        str(settings.prometheus_bin or _program("PROMETHEUS_BIN", "prometheus")),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.size=512MB",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    exporter = (
        _program("", *_EXPORTERS),
        f"--web.listen-address=127.0.0.1:{port + 1}",
    )
    logins = state.run / "store-logins.json"
    user, password = _login(settings, state)
    # By server: another one, which anybody may ask the exporter for, must not get the password.
    stores = _stores(settings, state)
    write_private(logins, json.dumps(dict.fromkeys(stores.values(), password)))
    passwords = [f"--redis.password-file={logins}"] if password else []
    env = {"REDIS_USER": user}
    return [
        Service(EXPORTER, (*exporter, *passwords), state.run, priority=400, env=env),
        Service(PROMETHEUS, prometheus, data, priority=400, config=digest),
    ]


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
    port = int(next(word for word in argv if "listen-address" in word).rpartition(":")[2])
    path = "/health" if name == EXPORTER else "/-/ready"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return Answer(f"port {port} does not answer ({error})")
    finally:
        connection.close()
    return Answer() if status < 500 else Answer(f"it answers {status}")


def _configuration(settings: Settings, state: StateFolder, rules: Path) -> dict[str, object]:
    # The exporter asks the server that each scrape names.
    exporter = [f"127.0.0.1:{settings.observe_port + 1}"]
    store = {
        "metrics_path": "/scrape",
        "static_configs": [
            {"targets": exporter, "labels": {"__param_target": url, "instance": name}}
            for name, url in _stores(settings, state).items()
        ],
    }
    return {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": "app", "file_sd_configs": [{"files": [str(state.run / "replicas.json")]}]},
            {"job_name": "store", **store},
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
    names = SERVERS if settings.store == "sentinel" else SERVERS[:1]
    return {name: f"unix://{socket_of(name, state)}" for name in names}


def _login(settings: Settings, state: StateFolder) -> tuple[str, str]:
    parts = urlsplit(settings.redis_url or "")
    password = unquote(parts.password or "")
    if settings.own_store and settings.store == "sentinel":
        password = sentinel.recorded(state).password
    return unquote(parts.username or ""), password


def _program(setting: str, *names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise KitError(
        f"OBSERVE=1 needs {names[-1]}, which is not on PATH",
        f"on Debian and Ubuntu: apt install {' '.join(('prometheus', _EXPORTERS[-1]))}",
        *([f"or name the program: {setting}=/path/to/{names[0]}"] if setting else []),
        "or without: make up OBSERVE=0",
    )
