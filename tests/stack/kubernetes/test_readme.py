"""The commands of the README, as they stand, as far as kubectl gets without a cluster."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from kit.setup import standalone

from tests.stack.kubernetes import rendering
from tests.stack.kubernetes.rendering import FOLDER, KUBECTL, containers, named, overlay
from tests.support import pages
from tests.support.ports import free_port

_README = FOLDER / "README.md"
# A kubectl that takes it as done if a command only lacks the cluster: so it, its flags and its
# files are right. It keeps each command, and the Secrets that it would make. The log that does not
# exist yet is the reason why the README asks for it in a loop.
_SCRIPT = """#!/bin/sh
echo "$*" >>"$SENT/commands"
case "$*" in
*--dry-run=client*) exec "$KUBECTL" "$@" ;;
*"create secret"*) "$KUBECTL" "$@" --dry-run=client -o json | tr -d '\\n' >>"$SENT/secrets" || exit
    echo >>"$SENT/secrets" ;;
esac
"$KUBECTL" --server "$NOBODY" "$@" 2>"$SENT/said" && exit 99
grep -q 'refused' "$SENT/said" || { cat "$SENT/said" >&2; exit 1; }
case "$*" in *" logs "*) exit 1 ;; esac
"""
# No pods drain here. The README's loop has no second round, or would go on for ever.
_SLEEP = f"""#!/bin/sh
[ "$1" = {rendering.pod(overlay("base"))["terminationGracePeriodSeconds"]} ]
"""


class Deploy:
    """The folder of `make init`, and a shell in it.

    Args:
        path: an empty folder.
    """

    def __init__(self, path: Path) -> None:
        self.folder, self._sent, programs = path / "deploy", path / "sent", path / "bin"
        standalone.write(self.folder, {})
        for each in (self._sent, programs):
            each.mkdir()
        for name, script in (("kubectl", _SCRIPT), ("sleep", _SLEEP)):
            (programs / name).write_text(script, encoding="utf-8")
            (programs / name).chmod(0o755)
        self._environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "KUBECTL": str(KUBECTL),
            "KUBECONFIG": "/dev/null",
            "NOBODY": f"http://127.0.0.1:{free_port()}",
            "SENT": str(self._sent),
        }

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run lines of shell; the first one that fails ends them."""
        return subprocess.run(
            ["sh", "-ec", script],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def commands(self) -> list[str]:
        """Return what kubectl was asked."""
        return (self._sent / "commands").read_text(encoding="utf-8").splitlines()

    def secrets(self) -> dict[str, set[str]]:
        """Return the Secrets that a cluster would have, and their keys."""
        lines = (self._sent / "secrets").read_text(encoding="utf-8").splitlines()
        made = [json.loads(line) for line in lines]
        return {each["metadata"]["name"]: {*each["data"]} for each in made}


@pytest.fixture(name="deploy")
def _deploy(tmp_path: Path) -> Deploy:
    return Deploy(tmp_path)


def _script(*headings: str) -> str:
    """Return the commands of these sections, without those that build an image."""
    blocks = [each for title in headings for each in pages.blocks(title, "sh", page=_README)]
    return "".join(each.text for each in blocks if "docker" not in each.text)


def test_commands_are_understood(deploy: Deploy) -> None:
    """From the secrets to the rollout, and both steps of new secrets."""
    script = _script("The first time", "Deploy", "Change the secrets")
    done = deploy.run(script + "sh secrets.sh retire && put\n")
    assert done.returncode == 0, done.stderr
    # `put` runs three times.
    assert len(deploy.commands()) == len(re.findall(r"\bkubectl\b", script)) + 2 * 4
    for kind in ("kubernetes/trial", "kubernetes/release", "kubernetes/gateway"):
        assert f"apply -n shop -k {kind}" in deploy.commands()
    # Nobody was logged out: one key is left, after two were accepted.
    assert len((deploy.folder / "secrets" / "secret_key").read_text().split()) == 1


def test_secrets_are_those_that_the_pods_mount(deploy: Deploy) -> None:
    """The commands make the Secrets, and the keys in them, that the manifests refer to."""
    done = deploy.run(_script("The first time"))
    assert done.returncode == 0, done.stderr
    manifests = overlay("trial")
    store = named(manifests, "StatefulSet", "redis")["spec"]["template"]["spec"]
    mounted = {
        volume["secret"]["secretName"]
        for spec in (rendering.pod(manifests), store)
        for volume in spec["volumes"]
        if "secret" in volume
    }
    assert deploy.secrets().keys() == mounted
    app = containers(rendering.pod(manifests))["app"]["env"]
    files = {each["value"] for each in app if each["name"].endswith("_FILE")}
    assert {f"/run/secrets/{key}" for key in deploy.secrets()["app"]} == files
    configuration = named(manifests, "ConfigMap", "redis")["data"]["redis.conf"]
    wanted = set(re.findall(r"/run/secrets/(\w+)", f"{store} {configuration}"))
    assert deploy.secrets()["redis"] == wanted


@pytest.mark.parametrize(
    "command",
    [
        "kubectl -n shop rollout unndo deployment/app",
        "kubectl -n shop rollout status --timout=5s deployment/app",
        "kubectl -n shop create secret generic app --from-file=secret_key=secrets/none",
        "kubectl diff -n shop -k kubernetes/nowhere",
    ],
)
def test_wrong_command_is_found(command: str, deploy: Deploy) -> None:
    """A typing error in the README fails, though there is no cluster."""
    done = deploy.run(command)
    assert (done.returncode, "error" in done.stderr) == (1, True)
