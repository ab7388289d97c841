"""Schemas of what Kubernetes itself does not know, such as an HTTPRoute of the Gateway API."""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import environments
from tests.support.checkout import ROOT

# A package that has the resources of a whole cluster (Kubernetes 1.35, Gateway API 1.4). None has
# those of the Gateway API alone.
_PINS = Path(__file__).with_name("custom_resources.txt")
_BUILD_PINS = ROOT / "requirements" / "foreign-build.txt"
_PACKED = "lib/python*/site-packages/class_generator/schema/__resources-mappings.json.gz"

Schema = dict[str, Any]


def schema(api_version: str, kind: str) -> Schema:
    """Return the strict schema of a kind: it has no room for fields that it does not name.

    Raises:
        Unmade: the package could not be fetched.
        ValueError: it does not have the kind in this version.
    """
    group, _, version = api_version.rpartition("/")
    wanted = {"group": group, "version": version, "kind": kind}
    (found,) = (
        each
        for each in _resources().get(kind.lower(), [])
        if wanted in each["x-kubernetes-group-version-kind"]
    )
    # Kubernetes' own schema of metadata is elsewhere.
    properties = found["properties"] | {"metadata": {"type": "object"}}
    strict: Schema = _strict(found | {"properties": properties})
    return strict


@cache
def _resources() -> dict[str, list[Schema]]:
    python = environments.made("cache/custom-resources", _PINS, first=_BUILD_PINS)
    (packed,) = python.parents[1].glob(_PACKED)
    resources: dict[str, list[Schema]] = json.loads(gzip.decompress(packed.read_bytes()))
    return resources


def _strict(part: Any) -> Any:
    if isinstance(part, list):
        return [_strict(each) for each in part]
    if not isinstance(part, dict):
        return part
    # A field may itself have the name `properties`.
    closed = {"additionalProperties": False} if isinstance(part.get("properties"), dict) else {}
    return closed | {name: _strict(each) for name, each in part.items()}
