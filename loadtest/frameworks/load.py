"""Load on one application, and the CPU time that every tier spends on it."""

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

from loadtest import machine
from loadtest.console import say
from loadtest.errors import LoadTestError
from loadtest.frameworks import contract
from loadtest.frameworks.servers import Running
from loadtest.harness.meter import Meter
from loadtest.processes import family

CONNECTIONS: Final = 16

_SCRIPT = Path(__file__).with_suffix(".lua")


class Generator(StrEnum):
    """The load generator. Both keep 16 connections busy without a pause, and send the same mix.

    Locust needs far more CPU for a request than wrk: its one core limits the throughput, and its
    own delays are part of the latencies.
    """

    WRK = "wrk"
    LOCUST = "Locust"


@dataclass(frozen=True)
class Load:
    """One application under load for some seconds. CPU times are in µs for each request."""

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
        store: the id of its store's process.
        port: of nginx, on 127.0.0.1.
        cookies: a file with one Cookie header a line, one for each session.
        generator: of its load.
    """

    name: str
    app: Running
    nginx: Running
    store: int
    port: int
    cookies: Path
    generator: Generator

    def load(self, mode: str, seconds: int, seed: int) -> Load:
        """Load it for some seconds; the mode is read, add or mix. The seed decides on the order.

        Raises:
            LoadTestError: a request failed, or a worker ended meanwhile.
        """
        tiers = {"app": self.app.pid, "nginx": self.nginx.pid, "store": self.store}
        processes = {tier: family(pid) for tier, pid in tiers.items()}
        meter = Meter()
        meter.read(0, processes)
        result = self._loaded(mode, seconds, seed)
        if family(self.app.pid) != processes["app"]:
            raise LoadTestError(f"a worker of {self.name} ended during the measurement")
        meter.read(seconds, processes)
        requests = int(result["requests"])
        uses = meter.uses(requests)
        return Load(
            requests, requests / result["seconds"], result["p50_ms"], result["p99_ms"],
            *(uses[tier].cpu_us for tier in tiers),
        )  # fmt: skip

    def _loaded(self, mode: str, seconds: int, seed: int) -> dict[str, float]:
        url = f"http://127.0.0.1:{self.port}"
        skus = ",".join(contract.SKUS)
        mix = (mode, str(self.cookies), contract.CART, contract.ITEMS, skus, str(seed))
        if self.generator is Generator.WRK:
            command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(_SCRIPT), url,
                       "--", *mix]  # fmt: skip
        else:
            command = [sys.executable, "-m", "loadtest.frameworks.locust_load", url,
                       str(CONNECTIONS), str(seconds), *mix]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(machine.CHECKOUT)},
        )  # fmt: skip
        _, found, rest = done.stdout.rpartition("\nresult ")
        if not found:
            raise LoadTestError(f"{self.generator} failed: {(done.stderr or done.stdout).strip()}")
        result: dict[str, float] = json.loads(rest)
        if result["failed"] or not result["requests"]:
            raise LoadTestError(
                f"{result['failed']:.0f} of {result['requests']:.0f} requests to {self.name} failed"
            )
        return result


def generator() -> Generator:
    """Return wrk if it is installed, else Locust, and say so.

    Raises:
        LoadTestError: neither is installed.
    """
    if shutil.which("wrk"):
        return Generator.WRK
    how = "apt-get install wrk, or brew install wrk"
    if importlib.util.find_spec("locust") is None:
        raise LoadTestError("neither wrk nor Locust is installed", how)
    say(f"wrk is not installed ({how}): Locust makes the load, and its CPU limits the throughput")
    return Generator.LOCUST
