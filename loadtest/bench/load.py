"""wrk against one application, and what every tier spent on it."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .calls import Calls
from .console import BenchError
from .processes import cpu_seconds
from .servers import Running

CONNECTIONS: Final = 16

_SCRIPT = Path(__file__).with_suffix(".lua")


@dataclass(frozen=True)
class Load:
    """One application under load for some seconds. CPU times are µs for each request."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    app_us: float
    nginx_us: float
    store_us: float


@dataclass(frozen=True)
class Target:
    """An application behind nginx.

    Attributes:
        name: for messages.
        port: of nginx, on 127.0.0.1.
        calls: what it answers.
        cookies: a file with one Cookie header a line, one for each session.
    """

    name: str
    app: Running
    nginx: Running
    store: Running
    port: int
    calls: Calls
    cookies: Path

    def load(self, mode: str, seconds: int) -> Load:
        """Ask for `seconds`; `mode` is read, add or mix.

        Raises:
            BenchError: a request failed, or a worker ended meanwhile.
        """
        workers = self.app.workers()
        tiers = (
            (self.app.pid, *workers),
            (self.nginx.pid, *self.nginx.workers()),
            (self.store.pid,),
        )
        before = [cpu_seconds(pids) for pids in tiers]
        result = self._wrk(mode, seconds)
        if self.app.workers() != workers:
            raise BenchError(f"a worker of {self.name} ended during the measurement")
        requests = result["requests"]
        app, nginx, store = (
            (cpu_seconds(pids) - start) / requests * 1e6
            for pids, start in zip(tiers, before, strict=True)
        )
        return Load(
            int(requests), requests / result["seconds"], result["p50_ms"], result["p99_ms"],
            app, nginx, store,
        )  # fmt: skip

    def _wrk(self, mode: str, seconds: int) -> dict[str, float]:
        url = f"http://127.0.0.1:{self.port}"
        script = (mode, self.cookies, self.calls.cart, self.calls.items, ",".join(self.calls.skus))
        wrk = subprocess.run(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(_SCRIPT), url,  # noqa: S607 (wrk, as the caller has it)
             "--", *map(str, script)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        _, found, rest = wrk.stdout.rpartition("\nresult ")
        if not found:
            raise BenchError(f"wrk failed: {(wrk.stderr or wrk.stdout).strip()}")
        result: dict[str, float] = json.loads(rest)
        if result["failed"] or not result["requests"]:
            raise BenchError(
                f"{result['failed']:.0f} of {result['requests']:.0f} requests failed with "
                f"{self.name}: the figures would not be comparable"
            )
        return result


def require_wrk() -> None:
    """Find out whether wrk is there.

    Raises:
        BenchError: it is not.
    """
    if shutil.which("wrk") is None:
        raise BenchError("wrk is not installed: apt-get install wrk, or brew install wrk")
