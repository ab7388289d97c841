"""`SOAK=1h make prove`: a deployment every ten minutes under load, and what grows meanwhile."""

import time
from dataclasses import dataclass, fields
from statistics import median

import psutil

from loadtest.frameworks import contract
from loadtest.harness.kit import Kit
from loadtest.prove import visitors
from loadtest.prove.row import Measured, Options, Skipped, measured
from loadtest.prove.stock import Stock
from loadtest.prove.visitors import Client, Tally

_DEPLOY_SECONDS = 600.0
# Between two readings of memory, descriptors and disk.
_READ_SECONDS = 10.0
_LEAST_READINGS = 12
_GROWTH = 1.2
# The store rewrites its append-only file from 64 MiB on, and logs rotate at some size.
_ROOM = {"memory_mb": 20.0, "descriptors": 20.0, "disk_mb": 150.0, "append_only_mb": 70.0}


@dataclass(frozen=True)
class Reading:
    """What the stack uses at one moment."""

    memory_mb: float
    descriptors: float
    disk_mb: float
    append_only_mb: float


def soak(kit: Kit, _stock: Stock, options: Options) -> tuple[Measured, None]:
    """Deploy every ten minutes under load; memory, descriptors, disk and the store's file stay."""
    if not kit.is_shop:
        raise Skipped("its visitors need the shop's cart, and APP_DIR names another application")
    readings: list[Reading] = []
    seconds = options.soak
    deploys, began = 0, time.monotonic()
    with visitors.visitors(kit.port, _visit) as tally:
        while (now := time.monotonic() - began) < seconds:
            if now > min(_DEPLOY_SECONDS, seconds / 4) * (deploys + 1):
                kit.change()
                kit.succeed("deploy")
                deploys += 1
            readings.append(_read(kit))
            time.sleep(_READ_SECONDS)
    done = f"{seconds:.0f} s, {deploys} deployments; {_described(readings)}"
    return measured(done, tally, wrong=growth(readings)), None


def _visit(client: Client, tally: Tally) -> None:
    visitors.every_method(client, tally)
    # So that the store holds as many sessions as before.
    client.send("POST", contract.LOGOUT, good=(204,))


def _read(kit: Kit) -> Reading:
    memory = descriptors = 0
    for process in kit.processes():
        try:
            memory += process.memory_info().rss
            descriptors += process.num_fds()
        except psutil.Error:
            continue
    files = [path for path in kit.state.rglob("*") if path.is_file() and not path.is_symlink()]
    sizes = {path: path.stat().st_blocks * 512 for path in files if path.exists()}
    append_only = sum(size for path, size in sizes.items() if "appendonly" in path.name)
    return Reading(memory / 2**20, descriptors, sum(sizes.values()) / 2**20, append_only / 2**20)


def _described(readings: list[Reading]) -> str:
    first, last = _typical(readings)
    return ", ".join(
        f"{field.name.replace('_', ' ')} {getattr(first, field.name):.0f} to "
        f"{getattr(last, field.name):.0f}"
        for field in fields(Reading)
    )


def growth(readings: list[Reading]) -> str:
    """Return in words what has grown from the second quarter to the last."""
    if len(readings) < _LEAST_READINGS:
        return f"{len(readings)} readings are too few to see growth"
    first, last = _typical(readings)
    return ", ".join(
        f"{name} has grown from {getattr(first, name):.0f} to {getattr(last, name):.0f}"
        for name, room in _ROOM.items()
        if getattr(last, name) > getattr(first, name) * _GROWTH + room
    )


def _typical(readings: list[Reading]) -> tuple[Reading, Reading]:
    quarter = max(1, len(readings) // 4)
    first, last = (
        Reading(*(median(getattr(each, field.name) for each in part) for field in fields(Reading)))
        for part in (readings[quarter : 2 * quarter] or readings, readings[-quarter:])
    )
    return first, last
