"""The templates themselves: complete, valid, and rendered by the official image's rule."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.needs import need
from tests.support.stacks.nginx import (
    TEMPLATES,
    check,
    defaults,
    make_certificate,
    render,
    with_tls,
)

_IMAGE_UPSTREAM = "resolver 127.0.0.11 valid=5s ipv6=off; server app:8000 resolve max_fails=0;"


def _variables(folder: Path, **others: str) -> dict[str, str]:
    return defaults(folder, f"server unix:{folder}/app-1.sock;") | others


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"NGINX_UPSTREAM_KEEPALIVE": "16", "NGINX_IDEMPOTENT_PATHS": "/a|/b/.{2,}"},
        {"NGINX_UPSTREAM_SERVERS": _IMAGE_UPSTREAM, "NGINX_WORKER_PROCESSES": "auto"},
        {"NGINX_EDGE": "tls"},
    ],
    ids=["local", "kept connections", "Compose", "TLS"],
)
def test_nginx_accepts_the_templates(tmp_path: Path, others: dict[str, str]) -> None:
    """`nginx -t` accepts what is rendered for each case, without a warning."""
    if "NGINX_EDGE" in others:
        others = with_tls(make_certificate(tmp_path / "tls"))
    tested = check(render(tmp_path, _variables(tmp_path, **others)), tmp_path)
    assert tested.returncode == 0, tested.stderr
    assert not re.search(r"\[(warn|error|alert|emerg)\]", tested.stderr), tested.stderr


@pytest.mark.parametrize("edge", ["plain", "tls"])
@pytest.mark.parametrize("upstream", [None, _IMAGE_UPSTREAM], ids=["local", "Compose"])
def test_gixy_finds_no_issue(tmp_path: Path, upstream: str | None, edge: str) -> None:
    """gixy-ng finds nothing to object to in what is rendered for either runtime and listener."""
    others = {"NGINX_UPSTREAM_SERVERS": upstream} if upstream else {}
    if edge == "tls":
        others |= with_tls(tmp_path)
    main = render(tmp_path, _variables(tmp_path, **others))
    gixy = Path(sys.executable).with_name("gixy")
    # That check sees no difference between a path and a variable, which nginx leaves as it is:
    # test_paths_arrive_as_they_were_sent.
    command = [str(gixy), "--skips=proxy_pass_normalized", str(main)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    assert "No issues found" in checked.stdout


def test_every_variable_is_documented(tmp_path: Path) -> None:
    """The README, the templates and the tests know the same variables."""
    pattern = r"\$\{(NGINX_\w+)\}"
    used = {
        name
        for template in TEMPLATES.glob("*.template")
        for name in re.findall(pattern, template.read_text(encoding="utf-8"))
    }
    documented = set(
        re.findall(r"^\| `(NGINX_\w+)`", (TEMPLATES / "README.md").read_text(), re.MULTILINE)
    )
    assert used == documented == set(defaults(tmp_path, "") | with_tls(tmp_path))


def test_a_missing_variable_is_refused(tmp_path: Path) -> None:
    """Each variable left out makes nginx -t fail; nothing starts half configured."""
    tls = with_tls(make_certificate(tmp_path / "tls"))
    for others in ({}, tls):
        for name in _variables(tmp_path, **others):
            variables = _variables(tmp_path, **others)
            del variables[name]
            assert check(render(tmp_path, variables), tmp_path).returncode != 0, name


def test_envsubst_of_the_image_renders_the_same(tmp_path: Path) -> None:
    """GNU envsubst, which the official image uses, renders the same files."""
    envsubst = need(shutil.which("envsubst"), "GNU envsubst (gettext) is not installed")
    variables = _variables(tmp_path)
    render(tmp_path, variables)
    names = " ".join(f"${{{name}}}" for name in variables)
    for template in TEMPLATES.glob("*.template"):
        rendered = subprocess.run(
            [envsubst, names],
            input=template.read_bytes(),
            env=os.environ | variables,
            capture_output=True,
            check=True,
        ).stdout
        assert rendered == (tmp_path / template.stem).read_bytes()


def test_every_template_is_included() -> None:
    """Each file is included once, each listener by NGINX_EDGE; none lies about unused."""
    texts = {t.stem: t.read_text(encoding="utf-8") for t in TEMPLATES.glob("*.template")}
    included = re.findall(r"\binclude (\S+);", "".join(texts.values()))
    assert included.count("listen_${NGINX_EDGE}.conf") == 1
    listeners = ["listen_plain.conf", "listen_tls.conf"]
    others = [name for name in included if "$" not in name]
    assert sorted([*others, *listeners]) == sorted(set(texts) - {"nginx.conf"})
