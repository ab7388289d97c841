"""The manifests, as kubectl renders them, and the schemas that they must fit."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from tests.stack.kubernetes import custom_resources
from tests.support.checkout import ROOT
from tests.support.environments import Unmade
from tests.support.needs import need

FOLDER = ROOT / "compose" / "kubernetes"
OVERLAYS = ("base", "gateway", "ingress", "trial", "release")
MINORS = ("1.34", "1.35", "1.36", "1.37")
_CUSTOM = {"HTTPRoute", "PodMonitor"}
KUBECTL = Path(sys.executable).with_name("kubectl")

Manifest = dict[str, Any]


def rendered(folder: Path) -> list[Manifest]:
    """Return what ``kubectl apply -k`` would send.

    Raises:
        AssertionError: kubectl refuses the folder.
    """
    done = subprocess.run(
        [KUBECTL, "kustomize", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return list(yaml.safe_load_all(done.stdout))


@cache
def overlay(name: str) -> list[Manifest]:
    """Return the manifests of an overlay; do not change them."""
    return rendered(FOLDER / name)


def named(manifests: list[Manifest], kind: str, name: str = "app") -> Manifest:
    """Return the one of this kind whose name is this, or this and a digest."""
    (found,) = (
        each
        for each in manifests
        if each["kind"] == kind and each["metadata"]["name"].partition("-")[0] == name
    )
    return found


def validate(manifest: Manifest, minor: str) -> None:
    """Hold a manifest against the schema of a minor version of Kubernetes, or of its own API.

    Raises:
        jsonschema.ValidationError: a field is wrong, missing or unknown.
    """
    if manifest["kind"] in _CUSTOM:
        try:
            schema = custom_resources.schema(manifest["apiVersion"], manifest["kind"])
        except Unmade as error:
            need(None, str(error))
        else:
            jsonschema.validate(manifest, schema)
        return
    assert kubernetes_validate.validate(manifest, minor, strict=True) == minor


def pod(manifests: list[Manifest]) -> Manifest:
    """Return the spec of a replica's pod."""
    spec: Manifest = named(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


def containers(spec: Manifest) -> dict[str, Manifest]:
    """Return a pod's containers and sidecars by name."""
    return {each["name"]: each for each in [*spec.get("initContainers", []), *spec["containers"]]}


def nginx_variables(manifests: list[Manifest]) -> dict[str, str]:
    """Return the variables of the templates, as nginx' container has them."""
    settings = named(manifests, "ConfigMap", "settings")["data"]
    return {
        each["name"]: each["value"]
        if "value" in each
        else settings[each["valueFrom"]["configMapKeyRef"]["key"]]
        for each in containers(pod(manifests))["nginx"]["env"]
    }
