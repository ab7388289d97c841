"""What the kit tells Compose."""

from pathlib import Path

import pytest
from kit.engine import Engine
from kit.folder import StateFolder
from kit.project import Project
from kit.settings import load


@pytest.mark.parametrize(
    ("given", "paths"),
    [
        ({}, "/api/(cart/items|checkout)"),
        ({"APP": "mine:app"}, ""),
        ({"APP": "mine:app", "NGINX_KEYED_PATHS": "/pay"}, "/pay"),
    ],
)
def test_keyed_posts_are_sent_again_as_in_the_local_runtime(
    tmp_path: Path, given: dict[str, str], paths: str
) -> None:
    """For the shop without being told; for another application only where the caller says so."""
    settings = load({"RUNTIME": "docker", **given}, tmp_path)
    project = Project(settings, StateFolder(settings.state_dir), Engine())

    assert project.environment({})["NGINX_KEYED_PATHS"] == paths
