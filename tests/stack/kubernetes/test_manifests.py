"""The Kubernetes manifests: rendered by kubectl, held against each minor's schemas, never run."""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from kit.setup import standalone
from kit.system import templates

from tests.stack.kubernetes import rendering
from tests.stack.kubernetes.rendering import (
    FOLDER,
    MINORS,
    OVERLAYS,
    containers,
    named,
    nginx_variables,
    overlay,
)
from tests.support.checkout import ROOT
from tests.support.ports import free_port
from tests.support.stacks import nginx

_OVERLAY = pytest.mark.parametrize("name", OVERLAYS)


def test_each_folder_is_tested() -> None:
    """A new overlay joins the list."""
    folders = {path.parent.name for path in FOLDER.glob("*/kustomization.yaml")}
    assert folders == {*OVERLAYS, "settings", "monitor"}


@_OVERLAY
@pytest.mark.parametrize("minor", MINORS)
def test_overlay_fits_the_schemas(name: str, minor: str) -> None:
    """Each field is known, of its type, and there if it must be."""
    assert len(overlay(name)) > 1
    for manifest in overlay(name):
        rendering.validate(manifest, minor)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("gateway", "Deployment"), ("gateway", "HTTPRoute"), ("monitor", "PodMonitor")],
)
def test_misspelled_field_is_found(name: str, kind: str) -> None:
    """What the schemas would say of a field that does not exist."""
    manifest = copy.deepcopy(named(overlay(name), kind))
    manifest["spec"]["replicaz"] = 3
    with pytest.raises(jsonschema.ValidationError, match="replicaz"):
        rendering.validate(manifest, MINORS[0])


def test_wrong_value_in_a_route_is_found() -> None:
    """What the schema would say of a time that is none."""
    route = copy.deepcopy(named(overlay("gateway"), "HTTPRoute"))
    route["spec"]["rules"][0]["timeouts"]["request"] = "never"
    with pytest.raises(jsonschema.ValidationError, match="never"):
        rendering.validate(route, MINORS[0])


def test_readme_names_the_oldest_minor() -> None:
    """A reader learns which versions the manifests were held against."""
    assert f"Kubernetes {MINORS[0]} or newer" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_times_of_a_stop_are_in_order() -> None:
    """Each outer limit is longer than what happens in it."""
    spec = rendering.pod(overlay("base"))
    app = containers(spec)["app"]
    request = int(named(overlay("base"), "ConfigMap", "settings")["data"]["REQUEST_SECONDS"])
    pre_stop = app["lifecycle"]["preStop"]["sleep"]["seconds"]
    liveness, startup = app["livenessProbe"], app["startupProbe"]

    assert pre_stop >= 10 + 5
    # Gunicorn's graceful timeout is REQUEST_SECONDS (tests/stack/test_time_limits.py); nginx's own
    # time for its last answers is 5 s longer.
    assert spec["terminationGracePeriodSeconds"] >= pre_stop + request + 5 + 10
    # Gunicorn replaces a worker that hangs before the kubelet replaces the pod.
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > request
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 60


def test_graceful_timeout_is_what_the_settings_say() -> None:
    """Gunicorn, with the variables of the pod, gives a request as long as the times assume."""
    settings = named(overlay("base"), "ConfigMap", "settings")["data"]
    configuration = ROOT / "app" / "gunicorn.conf.py"
    shown = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", configuration, "--print-config"],
        env={"PATH": os.environ["PATH"], **settings, "APP": "flask:Flask('x')"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    limits = dict(re.findall(r"^((?:graceful_)?timeout) +=? *(\d+)$", shown, re.MULTILINE))
    assert set(limits.values()) == {settings["REQUEST_SECONDS"]}
    assert len(limits) == 2


def test_rollout_never_has_fewer_replicas() -> None:
    """A new pod is ready before an old one goes; drains and the autoscaler leave one, too."""
    manifests = overlay("base")
    deployment = named(manifests, "Deployment")["spec"]
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert deployment["minReadySeconds"] > 0
    # Or each `apply` would undo what the autoscaler did.
    assert "replicas" not in deployment
    assert named(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert named(manifests, "HorizontalPodAutoscaler")["spec"]["minReplicas"] >= 2


def test_store_outage_takes_no_pod_out() -> None:
    """No probe asks for a path that needs the store."""
    parts = containers(rendering.pod(overlay("base")))
    probes = [
        probe for part in parts.values() for name, probe in part.items() if name.endswith("Probe")
    ]
    settings = named(overlay("base"), "ConfigMap", "settings")["data"]
    health, host = settings["HEALTH_PATH"], settings["TRUSTED_HOSTS"].partition(",")[0]
    assert health == "/livez"
    asked = [probe["httpGet"] for probe in probes if "httpGet" in probe]
    assert [each["path"] for each in asked] == [health]
    assert asked[0]["httpHeaders"] == [{"name": "Host", "value": host}]
    others = [probe["exec"]["command"] for probe in probes if "exec" in probe]
    # The image's own check, which asks HEALTH_PATH.
    assert others == [["python", "-m", "unsticky_gunicorn"]] * 2


@_OVERLAY
def test_containers_have_no_rights(name: str) -> None:
    """Each container is unprivileged, its root read-only, its memory limited."""
    made = {"Deployment", "StatefulSet", "Job"}
    pods = [each["spec"]["template"]["spec"] for each in overlay(name) if each["kind"] in made]
    assert pods
    for spec in pods:
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for part in containers(spec).values():
            rights = dict(part["securityContext"])
            assert rights.pop("runAsUser", spec["securityContext"].get("runAsUser", 0)) > 0
            assert rights == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in part["resources"]["limits"]
            assert {"cpu", "memory"} <= set(part["resources"]["requests"])


@_OVERLAY
def test_secrets_are_references(name: str) -> None:
    """No manifest holds a secret: files of Secrets that the user makes are mounted."""
    assert not [each for each in overlay(name) if each["kind"] == "Secret"]
    if name == "trial":
        return
    made = {"Deployment", "Job"}
    (spec,) = [e["spec"]["template"]["spec"] for e in overlay(name) if e["kind"] in made]
    app = containers(spec)["release" if name == "release" else "app"]
    values = {each["name"]: each.get("value") for each in app["env"]}
    assert values["SECRET_KEY_FILE"] == "/run/secrets/secret_key"
    assert values["REDIS_URL_FILE"] == "/run/secrets/redis_url"
    assert [v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v] == ["app"]


@_OVERLAY
def test_nothing_is_sticky(name: str) -> None:
    """No balancer keeps a visitor at one pod."""
    for manifest in overlay(name):
        text = str(manifest)
        assert "sessionPersistence" not in text
        assert "affinity" not in text.replace("'sessionAffinity': 'None'", "").lower()


def test_monitor_finds_the_metrics_of_the_pods() -> None:
    """Its fields are known; it selects the pods' labels and names a port that they have."""
    (monitor,) = overlay("monitor")
    rendering.validate(monitor, MINORS[0])
    template = named(overlay("base"), "Deployment")["spec"]["template"]
    labels, wanted = template["metadata"]["labels"], monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= labels.items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    ports = {
        each["name"]: each["containerPort"] for each in containers(template["spec"])["app"]["ports"]
    }
    assert ports[endpoint["port"]] == 9200
    assert labels[monitor["spec"]["jobLabel"]] == "app"


def test_changed_template_rolls_out(tmp_path: Path) -> None:
    """The pod names its ConfigMaps by their content: another template or variable, another pod."""
    folder = tmp_path / "deploy"
    standalone.write(folder, {})

    def references() -> tuple[str, str]:
        spec = rendering.pod(rendering.rendered(folder / "kubernetes" / "base"))
        (templates,) = (v["configMap"]["name"] for v in spec["volumes"] if "configMap" in v)
        (settings,) = containers(spec)["app"]["envFrom"]
        return templates, settings["configMapRef"]["name"]

    before = references()
    template = folder / "nginx" / "server.conf.template"
    template.write_text(template.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    after = references()
    assert before[0] != after[0]
    assert before[1] == after[1]
    variables = folder / "kubernetes" / "settings" / "app.env"
    variables.write_text(variables.read_text(encoding="utf-8") + "COLOUR=blue\n", encoding="utf-8")
    assert references()[1] != after[1]


def test_folder_of_make_init_renders_the_same(tmp_path: Path) -> None:
    """The files find nginx' templates and the store's settings in a user's folder, too."""
    standalone.write(tmp_path / "deploy", {})
    for name in (*OVERLAYS, "monitor"):
        assert rendering.rendered(tmp_path / "deploy" / "kubernetes" / name) == overlay(name)


def test_all_templates_are_in_the_config_map() -> None:
    """A new template of nginx gets there, as it is."""
    data = named(overlay("base"), "ConfigMap", "nginx")["data"]
    files = {path.name: path.read_text("utf-8") for path in nginx.TEMPLATES.glob("*.template")}
    assert data == files


def test_nginx_takes_the_variables_of_the_pod(tmp_path: Path) -> None:
    """A real nginx accepts what the image makes from the templates and these variables."""
    variables = nginx_variables(overlay("base"))
    left = {*templates.render(nginx.TEMPLATES, variables, "^NGINX_").items()}
    # TLS ends at the gateway.
    missing = {name for name, text in left if "${NGINX_" in text} - {"listen_tls.conf"}
    assert not missing
    port = f"127.0.0.1:{free_port()}"
    own = {
        "NGINX_RUN_DIR": str(tmp_path),
        "NGINX_LISTEN": port,
        "NGINX_ACCESS_LOG": f"{tmp_path}/log",
    }
    checked = nginx.check(nginx.render(tmp_path, variables | own), tmp_path)
    assert checked.returncode == 0, checked.stderr


def test_uploads_of_one_client_evict_no_pod() -> None:
    """Its connections, each with the largest body, fit into the volume: more ends the pod."""
    spec = rendering.pod(overlay("base"))
    (volume,) = (each for each in spec["volumes"] if each["name"] == "nginx-buffers")
    client = (nginx.TEMPLATES / "client.conf.template").read_text(encoding="utf-8")
    connections = int(re.findall(r"limit_conn clients (\d+);", client)[0])
    body = int(nginx_variables(overlay("base"))["NGINX_MAX_BODY_SIZE"].removesuffix("m"))
    limit = int(volume["emptyDir"]["sizeLimit"].removesuffix("Gi"))
    assert limit * 1024 > connections * body


def test_policies_name_who_reaches_whom() -> None:
    """Nobody but the gateway and Prometheus gets in; names and the store are what is reached."""
    policy = named(overlay("base"), "NetworkPolicy")["spec"]
    assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
    assert [_ports(rule) for rule in policy["ingress"]] == [{8080}, {9200}]
    assert all(rule["from"] for rule in policy["ingress"])
    assert [_ports(rule) for rule in policy["egress"]] == [{53}, {6379}]


def _ports(rule: dict[str, Any]) -> set[int]:
    return {each["port"] for each in rule["ports"]}
