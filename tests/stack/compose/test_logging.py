"""The Compose files in docs/logs.md that ship logs: their form, as neither service is here."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.stack.containers.standalone import copy_files
from tests.support.checkout import ROOT
from tests.support.needs import need
from tests.support.pages import blocks

_PAGE = ROOT / "docs" / "logs.md"


@pytest.mark.parametrize("heading", ["Loki", "CloudWatch"])
def test_example_ships_every_service(tmp_path: Path, heading: str) -> None:
    """Each service of compose.yaml gets the driver with its options alone, and loses no other."""
    docker = need(shutil.which("docker"), "docker is not installed", "REQUIRE_CONTAINERS")
    (example,) = blocks(heading, "yaml", page=_PAGE)
    name = re.match(r"# (compose\.\w+\.yaml)\n", example.text)
    assert name
    copy_files(ROOT, tmp_path)
    (tmp_path / name[1]).write_text(example.text)
    done = subprocess.run(
        [docker, "compose", "config", "--format=json"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "COMPOSE_FILE": f"compose.yaml:{name[1]}",
            "COMPOSE_PROFILES": "worker",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    services = json.loads(done.stdout)["services"]
    assert services.keys() == {"nginx", "app", "worker", "scheduler", "redis"}
    (driver,) = re.findall(r"^  driver: (\w+)$", example.text, re.MULTILINE)
    written = set(re.findall(r"^    ([\w-]+):", example.text, re.MULTILINE))
    for service in services.values():
        assert service["logging"]["driver"] == driver
        # Options of json-file would keep the containers from starting.
        assert service["logging"]["options"].keys() == written
        assert service["read_only"] is True
