"""Somebody's application with the stand-alone files in its folder ``deploy/``, and its visitors."""

import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ports import free_port
from tests.support.stacks.containers import docker

# What the caller's machine says of its engine and of its registry.
PASSED_ON = (
    "HOME", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG",
    "PYTHON_IMAGE", "NGINX_IMAGE", "REDIS_IMAGE",
)  # fmt: skip
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
# An application without a framework, whose answer shows that the whole request arrived. A broken
# release breaks in the replicas that start after the first so many.
_APPLICATION = """
import os, threading

def breaks():
    starts = os.path.join(os.environ["DATA_DIR"], "{release}")
    with open(starts, "a+") as file:
        file.seek(0)
        hosts = dict.fromkeys(file.read().split())
        host = os.uname().nodename
        if host not in hosts:
            file.write(host + "\\n")
        return [*hosts, host].index(host) >= {good}

STATUS = "200 OK"
answer = lambda environ, text: text
{begin}

def app(environ, start_response):
    body = environ["wsgi.input"].read()
    text = f"{release} {{environ['REQUEST_METHOD']}} {{len(body)}}"
    text = answer(environ, text).encode()
    start_response(STATUS, [("Content-Length", str(len(text)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [text]
"""
BROKEN = {
    "does not import": "if breaks(): import no_such_module",
    "never ready": 'if breaks(): STATUS = "503 Service Unavailable"',
    # The container's first process is Gunicorn's master.
    "dies after a second": "if breaks(): threading.Timer(1, os.kill, (1, 15)).start()",
}
"""Releases that must not come to serve, by what is wrong with them."""
# A release whose answers to the smoke test are wrong: always, or only through nginx.
WRONG = {
    "app-": 'answer = lambda e, text: "wrong" if e["PATH_INFO"] == "/smoke" else text',
    "nginx": """answer = lambda e, text: (
    "wrong" if e["PATH_INFO"] == "/smoke" and "HTTP_X_FORWARDED_FOR" in e else text)""",
}
# Asks often enough to meet each replica.
SMOKE = """python3 -c "
import os, urllib.request
for _ in range(60):
    text = urllib.request.urlopen(os.environ['SMOKE_URL'] + '/smoke').read().decode()
    assert 'GET' in text, text
print('60 good answers')
" """
# Ends the deployment before or after one of its calls of docker: WHEN SIGNAL NUMBER WORD… The word
# `change` stands for each call that changes something, but for the lock, which lasts. The calls of
# the word DEPLOY_SLOW about a healthy container take their time.
_DOCKER = """#!/bin/sh
if [ -n "$DEPLOY_KILL" ]; then
    set -- "$@" # the call
    rest=${DEPLOY_KILL#* * * }
    [ "$rest" != change ] || case " $* " in
    " ps "* | " top "* | " inspect "* | " logs "* | " image ls "*) ;;
    *" config "* | *" cat "* | *-deploy-lock*) ;;
    *) rest=$1 ;;
    esac
    case " $* " in *" $rest "*) echo . >>"$DEPLOY_CALLS" ;; *) rest= ;; esac
    when=${DEPLOY_KILL%% *}
    number=${DEPLOY_KILL#* }
    name=${number%% *}
    number=${number#* }
    number=${number%% *}
    if [ -n "$rest" ] && [ "$(wc -l <"$DEPLOY_CALLS")" -eq "$number" ]; then
        [ "$when" = before ] || "$REAL_DOCKER" "$@"
        kill -s "$name" "$PPID"
        [ "$name" = KILL ] && exit 1
        [ "$when" = before ] || exit 0
    fi
fi
if [ "$1" = "$DEPLOY_SLOW" ]; then
    [ "$("$REAL_DOCKER" inspect -f '{{.State.Health.Status}}' "$2")" != healthy ] || sleep 3
fi
exec "$REAL_DOCKER" "$@"
"""


class Project:
    """An application's folder with its deployments.

    Args:
        folder: an empty folder.
        checkout: where the stand-alone files are copied from.
    """

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.folder, self.checkout = folder, checkout
        self.port = free_port()
        self.docker = docker
        self.name = f"deploys-{secrets.token_hex(4)}"
        self.programs = folder / "programs"
        self.programs.mkdir(parents=True)
        wrapper = self.programs / "docker"
        wrapper.write_text(_DOCKER, encoding="utf-8")
        wrapper.chmod(0o755)
        self.environ = {
            **{key: os.environ[key] for key in PASSED_ON if key in os.environ},
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "REAL_DOCKER": shutil.which("docker") or "docker",
            "DEPLOY_CALLS": str(folder / "calls"),
        }
        deploy = folder / "blog" / "deploy"
        copy_files(checkout, deploy)
        settings = {
            "COMPOSE_PROJECT_NAME": self.name,
            "HEALTH_PATH": "/",
            "PORT": self.port,
        }
        lines = [f"{name}={value}\n" for name, value in settings.items()]
        (deploy / ".env").write_text("".join(lines), encoding="utf-8")
        subprocess.run(["sh", deploy / "secrets.sh"], check=True, stdout=subprocess.DEVNULL)
        self.write("0")

    def write(self, release: str, begin: str = "", good: int = 0) -> None:
        """Change the application; ``good`` replicas of a broken release work."""
        text = _APPLICATION.format(release=release, begin=begin, good=good)
        (self.folder / "blog" / "app.py").write_text(text, encoding="utf-8")

    def release(self, name: str, **variables: str) -> None:
        """Deploy a release that works."""
        self.write(name)
        status, printed = self.deploy(**variables)
        assert status == 0, printed

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """Start the script, in a session of its own, as from a terminal."""
        (self.folder / "calls").write_text("", encoding="utf-8")
        return subprocess.Popen(
            [sys.executable, self.folder / "blog" / "deploy" / "deploy", *words],
            env={**self.environ, **variables}, text=True, cwd=self.folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def deploy(self, *words: str, **variables: str) -> tuple[int, str]:
        """Run the script to its end; return its exit status and what it printed."""
        process = self.start(*words, **variables)
        try:
            printed, _ = process.communicate(timeout=240)
        finally:
            process.kill()
        return process.returncode, printed

    def killed(self, at: str, *words: str) -> None:
        """Run the script until a call of docker ends it: ``WHEN SIGNAL NUMBER WORD…``."""
        status, printed = self.deploy(*words, DEPLOY_KILL=at)
        assert status == -signal.SIGKILL, f"{at}: {status}\n{printed}"

    def replicas(self) -> dict[str, str]:
        """Return the state of each replica by its name."""
        labels = (f"project={self.name}", "service=app")
        filters = [f"--filter=label=com.docker.compose.{label}" for label in labels]
        shown = self.docker("ps", "--all", "--format={{.Names}} {{.State}}", *filters)
        return dict(line.split() for line in shown.splitlines())

    def serving(self) -> Counter[str]:
        """Return how many of 12 requests each release answers."""
        return Counter(self.ask("GET")[1].split()[0] for _ in range(12))

    def containers(self, service: str) -> list[str]:
        """Return the identities of a service's containers."""
        labels = (f"project={self.name}", f"service={service}")
        filters = [f"--filter=label=com.docker.compose.{label}" for label in labels]
        return self.docker("ps", "--all", "--quiet", *filters).split()

    def inside(self, *command: str, service: str = "app") -> str:
        """Run a command in a container; return what it printed."""
        return self.docker("exec", self.containers(service)[0], *command)

    def ask(self, method: str, body: bytes = b"", path: str = "/") -> tuple[int, str]:
        """Send one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def dispose(self) -> None:
        """Remove all that was made, the images included."""
        remove_project(self.name)


def remove_project(name: str) -> None:
    """Remove a Compose project's containers, networks, volumes and images."""
    filters = f"label=com.docker.compose.project={name}"
    for kind, remove in (
        ("container", ["rm", "--force", "--volumes"]),
        ("network", ["rm"]),
        ("volume", ["rm", "--force"]),
    ):
        every = ["--all"] if kind == "container" else []
        if found := docker(kind, "ls", *every, "--quiet", "--filter", filters).split():
            docker(kind, *remove, *found)
    if images := docker("image", "ls", "--quiet", f"{name}/app").split():
        docker("image", "rm", "--force", *set(images))


def copy_files(checkout: Path, deploy: Path) -> None:
    """Lay the stand-alone files into a folder."""
    compose, app = checkout / "compose", checkout / "app"
    (deploy / "lib").mkdir(parents=True)
    copied = [compose / "secrets.sh", compose / "deploy", app / "Dockerfile"]
    for path in (*compose.glob("compose*.yaml"), *copied, app / "gunicorn.conf.py"):
        shutil.copy2(path, deploy)
    shutil.copytree(checkout / "nginx", deploy / "nginx")
    shutil.copytree(compose / "redis", deploy / "redis")
    for name in ("unsticky_gunicorn.py", "unsticky_metrics.py", "unsticky_traces.py"):
        shutil.copy2(app / name, deploy / "lib")


@dataclass
class Visits:
    """What visitors met.

    Attributes:
        answered: requests answered as they should be, by method.
        lost: each other outcome, in words.
    """

    answered: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    end: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def visitors(port: int, number: int = 8, pause: float = 0.01) -> Iterator[Visits]:
    """Let clients that keep their connections send every method, until the block ends."""
    visits = Visits()
    with ThreadPoolExecutor(number) as pool:
        for each in range(number):
            pool.submit(_visit, visits, port, each, pause)
        try:
            yield visits
        finally:
            visits.end.set()


def _visit(visits: Visits, port: int, number: int, pause: float) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    turn = number
    while not visits.end.is_set():
        turn += 1
        method = _METHODS[turn % len(_METHODS)]
        body = b"x" * (turn % 3 * 1000) if method in {"POST", "PUT", "PATCH"} else b""
        began = time.time()
        try:
            connection.request(method, "/", body)
            answer = connection.getresponse()
            text = answer.read().decode()
            expected = "" if method == "HEAD" else f"{method} {len(body)}"
            good = answer.status == 200 and text.partition(" ")[2] == expected
            outcome = "" if good else f"{answer.status} {text[:200]}"
        except (OSError, http.client.HTTPException) as error:
            outcome = repr(error)
            connection.close()
        with visits.lock:
            if outcome:
                visits.lost.append(json.dumps([began, method, outcome]))
            else:
                visits.answered[method] += 1
        visits.end.wait(pause)
    connection.close()
