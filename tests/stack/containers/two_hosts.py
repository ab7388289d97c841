"""Two hosts, a store and a balancer, as docs/beyond.md makes them, and shoppers."""

import os
import random
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.checkout import ROOT
from tests.support.pages import blocks
from tests.support.ports import free_port
from tests.support.shop.client import ShopClient
from tests.support.stacks.containers import STORE_IMAGES, docker
from tests.support.stacks.node import Node
from tests.support.waiting import wait_until

_PAGE = ROOT / "docs" / "beyond.md"
HOSTS = ("web-1", "web-2")
_NGINX_IMAGE = os.environ.get("NGINX_IMAGE") or "nginxinc/nginx-unprivileged:1.30.4"
_PASSED_ON = ("PATH", "HOME", "PYTHON_IMAGE", "NGINX_IMAGE", "REDIS_IMAGE")
# The file that the balancer's belongs into, of any distribution.
_NGINX = "events {} pid /tmp/pid; http { access_log off; include /tmp/hosts.conf; }"


def shown(heading: str, language: str = "sh") -> list[str]:
    """Return what the page shows under a heading."""
    return [block.text for block in blocks(heading, language, page=_PAGE)]


class Site:
    """The machines, and the folder from which they are deployed.

    Args:
        folder: an empty folder.
        checkout: of this project.
    """

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.folder, self.port = folder / "shop" / "deploy", free_port()
        self.lan = f"lan-{folder.name}-{os.getpid()}"
        self.nodes: dict[str, Node] = {}
        self._balancer = ""
        self.environ = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        self.environ |= {"DOCKER_CONFIG": str(folder / "config")}
        self.environ |= {"READY_TIMEOUT": "120", "DEPLOY_SECONDS": "300"}
        shutil.copytree(ROOT / "app" / "shop", folder / "shop" / "shop")
        settings = ("APP=shop:create_app()", "PORT=8080", "REPLICAS=1")
        subprocess.run(
            ["make", "init", f"DIR={folder / 'shop'}", *settings],
            cwd=checkout,
            env=self.environ,
            check=True,
            capture_output=True,
        )
        docker("network", "create", self.lan)
        try:
            self._start(folder)
        except BaseException:
            self.dispose()
            raise

    def _start(self, folder: Path) -> None:
        def start(name: str) -> None:
            (folder / name).mkdir()
            self.nodes[name] = Node(folder / name, f"--network={self.lan}")
            kinds = ("NGINX", "REDIS") if name == "store" else ("PYTHON", "NGINX", "REDIS")
            images = (os.environ.get(f"{kind}_IMAGE") for kind in kinds)
            if local := [*filter(None, images)]:
                self.nodes[name].load(*local)

        with ThreadPoolExecutor() as pool:
            [*pool.map(start, ("store", *HOSTS))]
        self._balancer = docker(
            "run",
            "--detach",
            f"--network={self.lan}",
            "--user=0",
            "--entrypoint=sleep",
            f"--publish=127.0.0.1:{self.port}:80",
            _NGINX_IMAGE,
            "infinity",
        )
        self._sockets = f"unix://{folder}/$host/engine.sock"
        self._in_balancer(f"echo '{_NGINX}' >/tmp/nginx.conf")
        self._write_hosts()
        self._in_balancer("nginx -c /tmp/nginx.conf")

    def _write_hosts(self, *lines: str) -> None:
        (conf,) = shown("The balancer", "nginx")
        text = conf.replace("upstream hosts {", "\n".join(("upstream hosts {", *lines)))
        self._in_balancer(f"cat >/tmp/hosts.conf <<'END'\n{self.fitted(text)}\nEND\n")

    def add_a_host(self) -> None:
        """Let the balancer send requests to the machine that had the store, too."""
        page = _PAGE.read_text(encoding="utf-8")
        (line,) = re.findall(r"third line, `(server [^`]+)`", page)
        self._write_hosts(line)
        self.forget_failures()

    def forget_failures(self) -> None:
        """Let the balancer try each host again, as it does every 10 s."""
        self._in_balancer("nginx -c /tmp/nginx.conf -s reload")

    def _in_balancer(self, script: str) -> None:
        docker("exec", self._balancer, "sh", "-c", script)

    def address(self, container: str) -> str:
        """Return a machine's address in the network that all share."""
        form = f'{{{{(index .NetworkSettings.Networks "{self.lan}").IPAddress}}}}'
        return docker("inspect", f"--format={form}", container)

    def fitted(self, text: str) -> str:
        """Return a block of the page with the addresses and images that are here."""
        here = {
            "10.0.0.10": self.address(self._balancer),
            "10.0.0.20": self.address(self.nodes["store"].name),
            "10.0.0.11": self.address(self.nodes["web-1"].name),
            "10.0.0.12": self.address(self.nodes["web-2"].name),
            "ssh://me@$host.example.org": self._sockets,
            "redis:8.2": STORE_IMAGES["redis"][0],
        }
        return re.sub("|".join(map(re.escape, here)), lambda found: here[found[0]], text)

    def run(self, *scripts: str, **variables: str) -> tuple[int, str]:
        """Run scripts of the page as one, in the folder `deploy/`; return status and output."""
        with tempfile.TemporaryFile() as typed:
            typed.write(b"the lines that somebody pasted after these\n")
            typed.seek(0)
            done = subprocess.run(
                ["sh", "-euc", "\n".join(scripts)],
                cwd=self.folder,
                env=self.environ | variables,
                stdin=typed,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=400,
            )
            assert os.lseek(typed.fileno(), 0, os.SEEK_CUR) == 0, "a command read what follows it"
        return done.returncode, done.stdout

    def succeed(self, *scripts: str, **variables: str) -> str:
        """Run scripts that have to work."""
        status, printed = self.run(*scripts, **variables)
        assert status == 0, printed
        return printed

    def replicas(self, host: str) -> set[str]:
        """Return the replicas of one host by their short names, as they sign their answers."""
        label = "--filter=label=com.docker.compose.service=app"
        return set(self.nodes[host].docker("ps", "--quiet", label).split())

    def host_of(self, served_by: str) -> str:
        """Return the host that answered."""
        replica = served_by.partition("/")[0]
        return next(host for host in HOSTS if replica in self.replicas(host))

    def shopper(self) -> ShopClient:
        """Return a visitor, who comes through the balancer."""
        return ShopClient(self.port)

    def release(self, line: str = "") -> None:
        """Change the shop, whose next release ends with a line when it is imported."""
        factory = self.folder.parent / "shop" / "factory.py"
        text = (ROOT / "app" / "shop" / "factory.py").read_text(encoding="utf-8")
        factory.write_text(f"{text}\n# {random.random()}\n{line}\n", encoding="utf-8")

    def dispose(self) -> None:
        """Remove all machines with what they have."""
        with ThreadPoolExecutor() as pool:
            [*pool.map(Node.dispose, self.nodes.values())]
        if self._balancer:
            docker("rm", "--force", "--volumes", self._balancer)
        docker("network", "rm", self.lan)


@dataclass
class Load:
    """What shoppers met who add to carts of their own, by POSTs that carry no key.

    Attributes:
        acknowledged: adds that were answered with 200.
        lost: each other outcome, in words.
        carts: the shoppers, with how many adds of each were acknowledged, and how many were lost.
    """

    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    carts: list[tuple[ShopClient, int, int]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def await_more(self, adds: int) -> None:
        """Return once so many more adds were acknowledged."""
        goal = self.acknowledged + adds
        wait_until(lambda: self.acknowledged >= goal, f"{adds} more adds", 60)

    def check(self) -> None:
        """Require that each cart has what was acknowledged, and at most what was sent."""
        for shopper, acknowledged, lost in self.carts:
            kept = shopper.cart().get("tea", 0)
            # .ci/run knows these words.
            assert kept >= acknowledged, f"acknowledged and lost: {acknowledged - kept}"
            assert kept <= acknowledged + lost


@contextmanager
def shoppers_add(site: Site, shoppers: int = 6) -> Iterator[Load]:
    """Let shoppers add, one after the other, until the block ends; then check their carts."""
    load = Load()
    with ThreadPoolExecutor(shoppers) as pool:
        shopping = [pool.submit(_shop, load, site) for _ in range(shoppers)]
        try:
            yield load
        finally:
            load.stop.set()
    for each in shopping:
        each.result()
    load.check()


def _shop(load: Load, site: Site) -> None:
    while not load.stop.is_set():
        shopper, acknowledged, lost = site.shopper(), 0, 0
        while acknowledged + lost < 90 and not load.stop.is_set():
            try:
                answer = shopper.add("tea")
                outcome = "" if answer.status == 200 else f"{answer.status} {answer.text[:200]}"
            except httpx.TransportError as error:
                outcome = repr(error)
            with load.lock:
                acknowledged, lost = acknowledged + (not outcome), lost + bool(outcome)
                load.acknowledged += not outcome
                load.lost += [outcome] if outcome else []
            load.stop.wait(random.uniform(0.01, 0.05))
        with load.lock:
            load.carts.append((shopper, acknowledged, lost))
