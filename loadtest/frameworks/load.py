"""Load on one application, and what every tier spent on it."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from .calls import Calls
from .console import BenchError, say
from .processes import cpu_seconds
from .servers import Running

CONNECTIONS: Final = 16

_SCRIPT = Path(__file__).with_suffix(".lua")


class Generator(StrEnum):
    """What asks. Both keep 16 connections busy without a pause, and send the same mix.

    Locust needs far more CPU for a request than wrk: its own, one core at most, bounds the
    throughput, and the latencies hold its own turns.
    """

    WRK = "wrk"
    LOCUST = "Locust"


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
        generator: what asks it.
    """

    name: str
    app: Running
    nginx: Running
    store: Running
    port: int
    calls: Calls
    cookies: Path
    generator: Generator

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
        result = self._asked(mode, seconds)
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

    def _asked(self, mode: str, seconds: int) -> dict[str, float]:
        url = f"http://127.0.0.1:{self.port}"
        calls, skus = self.calls, ",".join(self.calls.skus)
        mix = (mode, str(self.cookies), calls.cart, calls.items, skus)
        if self.generator is Generator.WRK:
            command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(_SCRIPT), url,
                       "--", *mix]  # fmt: skip
        else:
            command = [sys.executable, "-m", "bench.users", url, str(CONNECTIONS), str(seconds),
                       *mix]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(_SCRIPT.parents[1])},
        )  # fmt: skip
        _, found, rest = done.stdout.rpartition("\nresult ")
        if not found:
            raise BenchError(f"{self.generator} failed: {(done.stderr or done.stdout).strip()}")
        result: dict[str, float] = json.loads(rest)
        if result["failed"] or not result["requests"]:
            raise BenchError(
                f"{result['failed']:.0f} of {result['requests']:.0f} requests failed with "
                f"{self.name}: the figures would not be comparable"
            )
        return result


def generator() -> Generator:
    """Return wrk where it is, else Locust, and say so.

    Raises:
        BenchError: neither is there.
    """
    if shutil.which("wrk"):
        return Generator.WRK
    how = "apt-get install wrk, or brew install wrk"
    if importlib.util.find_spec("locust") is None:
        raise BenchError(f"neither wrk nor Locust is installed: {how}")
    say(
        f"wrk is not installed ({how}): Locust asks in its place, and its CPU bounds the throughput"
    )
    return Generator.LOCUST
