"""What the kit knows of the nginx configuration that is in place."""

from pathlib import Path

import pytest
from kit import proxy
from kit.folder import StateFolder


@pytest.mark.parametrize(
    "files",
    [
        {"listen_plain.conf": "# HTTP.\nlisten 127.0.0.1:9000 default_server;\n"},
        {"server.conf": "server {\n    listen 127.0.0.1:9000 default_server;\n}\n"},
    ],
)
def test_the_rendered_port(tmp_path: Path, files: dict[str, str]) -> None:
    """A configuration tells its port, also one that an older version rendered otherwise."""
    folder = StateFolder(tmp_path)
    conf = folder.nginx / "conf"
    conf.mkdir(parents=True)
    for name, text in files.items():
        (conf / name).write_text(text)

    assert proxy.rendered_port(folder) == 9000


def test_no_rendered_port(tmp_path: Path) -> None:
    """Before the first start there is none."""
    assert proxy.rendered_port(StateFolder(tmp_path)) is None
