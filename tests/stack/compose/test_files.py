"""The Compose files, as Compose itself understands them, in every combination of the overlays."""

import copy
import functools
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from kit.docker.store import VALKEY

from tests.support.checkout import ROOT
from tests.support.needs import need
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE

_FOLDER = ROOT / "compose"
_OVERLAYS = sorted(path.name.split(".")[1] for path in _FOLDER.glob("compose.*.yaml"))
_COMBINATIONS = [
    combination
    for length in range(len(_OVERLAYS) + 1)
    for combination in itertools.combinations(_OVERLAYS, length)
    # Both say what runs in place of Redis.
    if not {"external", "valkey"} <= set(combination)
    and not {"external", "sentinel"} <= set(combination)
    # It is about the store alone.
    and not ("sentinel" in combination and {"dev", "tls"} & set(combination))
    # A store elsewhere is outside.
    and not {"external", "isolated"} <= set(combination)
    # They are the demo's, and for development: see below.
    and not {"shop", "dev"} & set(combination[1:])
    # It shows what the other one gathers, which changes nothing else.
    and ("grafana" not in combination or {*combination} == {"observe", "grafana"})
    and not ("observe" in combination and {"dev", "shop", "tls"} & set(combination))
    # It adds a service, and takes none away.
    and not ("mongodb" in combination and {"dev", "shop", "tls", "valkey"} & set(combination))
]

_SERVERS = {"redis", "redis-2", "redis-3"}
_SENTINELS = {"sentinel-1", "sentinel-2", "sentinel-3"}
_OBSERVERS = {"prometheus", "store-exporter", "blackbox", "grafana"}
_SECRETS = {"SECRET_KEY": "4f1c" * 16, "REDIS_URL": "redis://shop:swordfish@redis"}
_IMAGES = {
    f"{name}_IMAGE": f"registry.test/{name.lower()}:1"
    for name in (
        "APP",
        "BLACKBOX",
        "GRAFANA",
        "MONGODB",
        "NGINX",
        "PROMETHEUS",
        "PYTHON",
        "REDIS",
        "REDIS_EXPORTER",
        "VALKEY",
    )
}
# What the caller's environment holds in most of the tests.
_GIVEN = {
    **_SECRETS,
    **_IMAGES,
    "REDIS_URL_FILE": "/run/user/url",
    "REPLICAS": "5",
    "PORT": "81",
    "TLS_PORT": "444",
}


def _config(
    overlays: tuple[str, ...], given: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    docker = need(shutil.which("docker"), "docker is not installed", "REQUIRE_CONTAINERS")
    found = subprocess.run([docker, "compose", "version"], capture_output=True, check=False)
    need(found.returncode == 0, "Docker Compose is not installed", "REQUIRE_CONTAINERS")
    # The one that takes services away comes after the others, and what it leaves alone last.
    files = [
        "compose.yaml",
        *(f"compose.{n}.yaml" for n in sorted(overlays, key=("external", "mongodb").__contains__)),
    ]
    return subprocess.run(
        [docker, "compose", *(f"--file={_FOLDER / name}" for name in files), "config",
         "--format=json"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **given},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@functools.cache
def _model(overlays: tuple[str, ...], **variables: str) -> Any:
    done = _config(overlays, _GIVEN | variables)
    assert done.returncode == 0, done.stderr
    # Such as a variable that is not set.
    assert done.stderr == ""
    return json.loads(done.stdout)


every_combination = pytest.mark.parametrize(
    "overlays", _COMBINATIONS, ids=lambda names: "+".join(names) or "alone"
)


@every_combination
def test_every_service_is_hardened(overlays: tuple[str, ...]) -> None:
    """Read-only, without capabilities, with limits on all that a container can use up."""
    for name, service in _model(overlays)["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert service["restart"] == "unless-stopped", name
        assert "container_name" not in service, name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}, name
        for mount in service.get("volumes", []):
            assert mount.get("read_only") or mount["type"] == "volume", (name, mount)


@every_combination
def test_only_nginx_publishes_ports(overlays: tuple[str, ...]) -> None:
    """Only nginx publishes ports, on this host alone; the store is reached by the replicas only.

    Beside it Prometheus and Grafana do, and the exporter reaches the store.
    """
    model = _model(overlays)
    services = model["services"]
    published = {name: each["ports"] for name, each in services.items() if each.get("ports")}
    shown = {"observe": "prometheus", "grafana": "grafana"}
    assert set(published) == {"nginx", *(shown[name] for name in shown if name in overlays)}
    assert {p["host_ip"] for ports in published.values() for p in ports} == {"127.0.0.1"}
    observers = {name: set(services[name]["networks"]) for name in _OBSERVERS & set(services)}
    expected = {
        "prometheus": {"back", "observe", "probe"},
        "store-exporter": {"back"},
        "blackbox": {"front", "probe"},
        "grafana": {"observe"},
    }
    assert observers == {name: expected[name] for name in observers}
    assert ("store-exporter" in observers) is ("observe" in overlays and "external" not in overlays)
    # The replicas reach the outside, unless the overlay closes the way.
    isolated = "isolated" in overlays
    assert model["networks"]["front"].get("internal", False) is isolated
    assert set(services["nginx"]["networks"]) == ({"edge", "front"} if isolated else {"front"})
    assert model["networks"]["back"]["internal"] is True
    assert set(services["app"]["networks"]) == {"front", "back"}
    # Nor does the probe then, which asks whatever a replica names.
    inside = {name for name, each in model["networks"].items() if each.get("internal")}
    assert not isolated or inside >= {"front", "back", *observers.get("blackbox", ())}
    if "external" in overlays:
        mongodb = {"mongodb"} & set(overlays)
        assert set(services) - _OBSERVERS == {"app", "nginx"} | mongodb
    else:
        for name in {*services} - {"app", "nginx"} - _OBSERVERS:
            assert set(services[name]["networks"]) == {"back"}


def test_observers_mount_files_that_are_there() -> None:
    """Their folder lies beside the Compose files, and has what their configuration names."""
    services = _model(("observe", "grafana"))["services"]
    for name in ("prometheus", "blackbox", "grafana"):
        (bind,) = (each for each in services[name]["volumes"] if each["type"] == "bind")
        files = {str(p.relative_to(bind["source"])) for p in Path(bind["source"]).rglob("*.*")}
        assert {"prometheus.yml", "rules.yml", "blackbox.yml", "dashboard.json"} <= files
        assert {"grafana/datasources/prometheus.yml", "grafana/dashboards/unsticky.yml"} <= files


@every_combination
def test_no_secret_is_in_an_environment(overlays: tuple[str, ...]) -> None:
    """The environment names files only, whatever secrets the caller's own holds."""
    services = _model(overlays)["services"]
    assert not [value for value in _SECRETS.values() if value in json.dumps(services)]
    mounted = {secret["target"] for secret in services["app"]["secrets"]}
    names = ["SECRET_KEY_FILE", "REDIS_URL_FILE"]
    names += ["UNSTICKY_STORE_FILE"] * ("mongodb" in overlays)
    assert mounted == {services["app"]["environment"][name] for name in names}


@every_combination
def test_every_image_is_a_variable(overlays: tuple[str, ...]) -> None:
    """A registry of one's own can serve each image, the one that the build stands on included."""
    services = _model(overlays)["services"]
    assert services["nginx"]["image"] == _IMAGES["NGINX_IMAGE"]
    assert services["app"]["image"] == _IMAGES["APP_IMAGE"]
    for name, image in {"store-exporter": "REDIS_EXPORTER"}.items() | {
        (name, name.upper()) for name in ("blackbox", "prometheus", "grafana", "mongodb")
    }:
        assert name not in services or services[name]["image"] == _IMAGES[f"{image}_IMAGE"]
    assert services["app"]["build"]["args"]["PYTHON_IMAGE"] == _IMAGES["PYTHON_IMAGE"]
    if "external" not in overlays:
        store = "VALKEY_IMAGE" if "valkey" in overlays else "REDIS_IMAGE"
        assert services["redis"]["image"] == _IMAGES[store]
    if "sentinel" in overlays:
        others = _SERVERS - {"redis"} | _SENTINELS
        assert {services[name]["image"] for name in others} == {_IMAGES["REDIS_IMAGE"]}


@pytest.mark.parametrize("overlays", [("sentinel",), ("sentinel", "valkey")])
def test_a_store_that_fails_over_is_whole(overlays: tuple[str, ...]) -> None:
    """Servers and Sentinels have volumes of their own, and start before the replicas."""
    model = _model(overlays)
    services = model["services"]
    assert {*services} == {"nginx", "app", *_SERVERS, *_SENTINELS}
    assert {*services["app"]["depends_on"]} == _SERVERS | _SENTINELS
    assert model["secrets"]["redis_url"]["file"].endswith("/secrets/sentinel_url")
    volumes = []
    for name in _SERVERS | _SENTINELS:
        assert services[name]["entrypoint"][1:3] == ["/etc/redis/sentinel.sh", name]
        mounts = {mount["target"]: mount["source"] for mount in services[name]["volumes"]}
        assert mounts["/etc/redis/sentinel.sh"].endswith("/redis/sentinel.sh")
        volumes.append(model["volumes"][mounts["/data"]]["name"])
        # A Sentinel needs no session.
        users = "redis_users" if name in _SERVERS else "sentinel_users"
        secrets = {secret["source"] for secret in services[name]["secrets"]}
        assert secrets == {users, "redis_health_password", "sentinel_password"}
    assert len({*volumes}) == len(volumes)
    # With Valkey, no server finds files of Redis.
    assert sum("valkey" in name for name in volumes) == (3 if "valkey" in overlays else 0)


@pytest.mark.parametrize("others", [(), ("external",)])
def test_mongodb_is_whole(others: tuple[str, ...]) -> None:
    """Replicas start after it, with its URL as a secret; its key is nobody else's."""
    # The kit's own overlay for another store has no workers.
    workers = () if "external" in others else ("worker", "scheduler")
    model = _model((*others, "mongodb"), COMPOSE_PROFILES=",".join(workers[:1]))
    server, app = (model["services"][name] for name in ("mongodb", "app"))
    for name in ("app", *workers):
        service = model["services"][name]
        assert service["depends_on"]["mongodb"]["condition"] == "service_healthy"
        assert service["environment"]["UNSTICKY_STORE_FILE"] == "/run/secrets/mongodb_url"
    secrets = {secret["source"] for secret in server["secrets"]}
    assert secrets == {"mongodb_url", "mongodb_key", "mongodb_admin_password"}
    assert {each["source"] for each in app["secrets"]} & secrets == {"mongodb_url"}
    mounts = {mount["target"]: mount["source"] for mount in server["volumes"]}
    assert Path(mounts["/etc/mongodb"], server["entrypoint"][1].rpartition("/")[2]).is_file()
    assert Path(
        mounts["/etc/mongodb"], server["healthcheck"]["test"][-1].rpartition("/")[2]
    ).is_file()
    assert mounts["/data/db"] == "store-mongodb"
    assert server["user"] != "0:0"


@pytest.mark.parametrize("overlays", [(), ("valkey",), ("observe", "grafana"), ("mongodb",)])
def test_every_default_image_has_a_tag(overlays: tuple[str, ...]) -> None:
    """No default is `latest`, which means another image every month."""
    services = json.loads(_config(overlays, {}).stdout)["services"]
    images = [service["image"] for service in services.values()]
    images.append(services["app"]["build"]["args"]["PYTHON_IMAGE"])
    for image in images:
        assert re.fullmatch(r"[a-z0-9/_-]+:[\w.-]+", image), image
        assert not image.endswith(":latest"), image
    if "valkey" in overlays:
        # As the kit gives it to the other servers of compose.sentinel.yaml.
        assert services["redis"]["image"] == VALKEY


@every_combination
def test_replicas_and_ports_are_as_set(overlays: tuple[str, ...]) -> None:
    """REPLICAS, PORT and TLS_PORT mean here what they mean to the kit."""
    services = _model(overlays)["services"]
    assert services["app"]["deploy"]["replicas"] == 5
    published = {port["published"]: port["target"] for port in services["nginx"]["ports"]}
    assert published == ({"81": 8080, "444": 8443} if "tls" in overlays else {"81": 8080})
    secure = services["app"]["environment"]["SESSION_COOKIE_SECURE"]
    assert secure == ("1" if "tls" in overlays else "0")
    if "tls" in overlays:
        assert services["nginx"]["environment"]["NGINX_TLS_PORT"] == "444"


@pytest.mark.parametrize("service", ["nginx", "app"])
def test_large_bodies_fill_no_memory(service: str) -> None:
    """Uploads of 50 MB and answers of 200 MB go to the disk, where nginx and Werkzeug keep them."""
    model = _model(())["services"][service]
    folder = model["environment"]["NGINX_RUN_DIR"] if service == "nginx" else "/tmp"  # noqa: S108  # in the container
    mounts = {mount["target"]: mount["type"] for mount in model["volumes"]}
    assert mounts[folder] == "volume"
    assert not [each for each in model.get("tmpfs", []) if each.partition(":")[0] == folder]


@pytest.mark.parametrize(
    "proxy", ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
)
def test_no_proxy_reaches_the_health_checks(tmp_path: Path, proxy: str) -> None:
    """The engine passes its configured proxies to every container; no check may use them."""
    need(shutil.which("curl"), "curl is not installed")
    word, *command = _model(())["services"]["nginx"]["healthcheck"]["test"]
    assert word == "CMD"
    environment = {"PATH": os.environ["PATH"], proxy: f"http://127.0.0.1:{free_port()}"}
    with _answering(tmp_path) as port:
        command = [part.replace(":8080", f":{port}") for part in command]
        done = subprocess.run(command, env=environment, check=False, timeout=PATIENCE)
        assert done.returncode == 0
        environment |= {"BIND": f"0.0.0.0:{port}", "HEALTH_PATH": "/"}
        replica = [sys.executable, str(ROOT / "app" / "unsticky_gunicorn.py")]
        done = subprocess.run(replica, env=environment, check=False, timeout=PATIENCE)
        assert done.returncode == 0


@contextmanager
def _answering(path: Path) -> Iterator[int]:
    """Answer with the files of a folder on a port of this host."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_external_store_needs_a_url() -> None:
    """Without REDIS_URL_FILE the overlay says what is missing, and nothing starts."""
    done = _config(("external",), {})
    assert done.returncode != 0
    assert "REDIS_URL_FILE" in done.stderr
    assert "names a file that holds the URL of your store" in done.stderr


def test_a_swarm_has_the_same_settings() -> None:
    """But for what hosts make another: `docker stack` knows no `extends`."""
    stack_file = f"--file={_FOLDER / 'swarm' / 'stack.yaml'}"
    command = ["docker", "compose", stack_file, "config", "--format=json"]
    given = {"PATH": os.environ["PATH"], **_GIVEN}
    shown = subprocess.run(command, env=given, capture_output=True, check=True).stdout
    stack = json.loads(shown)["services"]
    here = copy.deepcopy(_model(("sentinel",))["services"])
    assert {*here} <= {*stack}
    nginx = dict(stack["nginx"]["environment"])
    del nginx["NGINX_ENVSUBST_OUTPUT_DIR"]
    assert nginx == here["nginx"]["environment"]
    assert stack["app"]["environment"] == here["app"]["environment"]
    # Swarm ends what is unhealthy, and must not end a replica whose workers have slow requests.
    check, seconds = stack["app"]["healthcheck"], int(here["app"]["environment"]["REQUEST_SECONDS"])
    assert float(check["interval"].removesuffix("s")) * check["retries"] > seconds
    same = ("cap_drop", "image", "logging", "read_only", "stop_grace_period", "stop_signal", "user")
    for name, service in here.items():
        assert [stack[name].get(key) for key in same] == [service.get(key) for key in same], name
        limits = [each["deploy"]["resources"] for each in (service, stack[name])]
        assert limits[0] == limits[1], name
