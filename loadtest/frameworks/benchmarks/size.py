"""The cost of size: requests, memory and a restart with a thousand to a million sessions.

Each size has a store of its own, which persists as the kit's store does, and is asked for sessions
that are spread over all of them.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import redis

from loadtest import machine
from loadtest.console import say
from loadtest.errors import LoadTestError
from loadtest.frameworks import servers, variants
from loadtest.frameworks.benchmarks import report
from loadtest.frameworks.benchmarks.report import Raw, Report
from loadtest.frameworks.benchmarks.spread import least_most, ratio, spread
from loadtest.frameworks.benchmarks.task import Task
from loadtest.frameworks.benchmarks.testbed import PROCESSES, under_load
from loadtest.frameworks.servers import Running

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
ASKED: Final = 10_000
"""The most sessions that are asked for."""

ROUNDS: Final = 8
RATE: Final = 400
RESTARTS: Final = 3

_PERSISTENCE: Final = ("--save", "", "--appendonly", "yes", "--appendfsync", "everysec")
_WARM_SECONDS = 2
_SETTLE_SECONDS = 120.0


@dataclass(frozen=True)
class Filled:
    """A store at rest with its sessions; sizes in bytes.

    Attributes:
        fill_seconds: how long it took to make them.
        memory: what the server used, without what it uses when it is empty.
        file: its append-only file.
    """

    sessions: int
    fill_seconds: float
    memory: int
    file: int


def measure(task: Task) -> Path:
    """Fill a store of each size, measure, restart; return the file with the raw data.

    Its own option is `sizes`.

    Raises:
        LoadTestError: a store or the application fails, or a session is not there.
    """
    sizes, (peer,) = sorted(task.options["sizes"]), task.peers
    with ExitStack() as stack:
        folders = {
            size: Path(stack.enter_context(TemporaryDirectory(prefix="size-"))) for size in sizes
        }
        with ExitStack() as running:
            stores = {
                size: running.enter_context(_store(folder)) for size, folder in folders.items()
            }
            filled, cookies = {}, {}
            for size, store in stores.items():
                say(f"making {size:,} sessions")
                filled[size], cookies[size] = _fill(store, size)
            sized = {
                variants.of(peer, f"{peer.name}-{size}", server_at=store, number=0): size
                for size, store in stores.items()
            }
            # Their own carts are few beside those that are there already.
            with under_load(sized, PROCESSES, task.generator, sessions=1) as bed:
                for variant, size in sized.items():
                    bed.use(variant, cookies[size])
                bed.warm_up(_WARM_SECONDS)
                loops = task.closed_loop(bed), task.open_loop(bed)
        restarts = {size: _restarts(folder, size) for size, folder in folders.items()}
    return task.save(
        "size",
        bed,
        {variant.name: {"sessions": size} for variant, size in sized.items()},
        loops,
        options={**task.options, "sizes": sizes},
        filled={str(size): asdict(each) for size, each in filled.items()},
        restarts={str(size): each for size, each in restarts.items()},
    )


def told(data: Raw) -> Report:
    """Return the table of a run."""
    options, samples = data["options"], data["samples"]
    costs = {name: report.all_us(samples, name) for name in data["servers"]}
    first = next(iter(costs.values()))
    header = (
        "sessions",
        "CPU of the application, µs/request",
        "CPU of the store, µs/request",
        "CPU of all tiers, µs",
        "× the smallest",
        f"p99 at {options['rate']}/s, ms",
        "memory of the store, bytes/session",
        "append-only file, MB",
        "restart, s",
    )
    rows = []
    for name, each in data["servers"].items():
        size = str(each["sessions"])
        filled = data["filled"][size]
        rows.append(
            (
                f"{each['sessions']:,}",
                spread(report.of(samples, name, "app_us")),
                spread(report.of(samples, name, "store_us")),
                spread(costs[name]),
                "1" if costs[name] is first else ratio(costs[name], first),
                spread(report.of(data["arrivals"], name, "p99_ms"), 1),
                f"{filled['memory'] / filled['sessions']:.0f}",
                f"{filled['file'] / 1e6:.1f}",
                least_most(data["restarts"][size], 2),
            )
        )
    last = list(costs)[-1]
    return Report(
        "Benchmarks: the number of sessions",
        "size",
        [header, *rows],
        f"{rows[-1][0]} sessions cost a request × {ratio(costs[last], first)} of the CPU that "
        f"{rows[0][0]} cost.",
        {"asked": ASKED, "restarts": RESTARTS},
        persists=True,
    )


@contextmanager
def _store(folder: Path) -> Iterator[Running]:
    """Run a store with the kit's persistence until all its data are loaded."""
    with servers.store(folder, _PERSISTENCE) as running:
        _settled(running, lambda info: not info["loading"])
        yield running


def _fill(store: Running, size: int) -> tuple[Filled, list[str]]:
    """Make so many sessions; return the store at rest, and Cookie headers of some of them."""
    client: Any = redis.Redis.from_url(store.database())
    with client:
        # A server that has run the scripts once: they are no memory of sessions.
        _make(store, 2)
        client.flushdb()
        empty, began = _info(store)["used_memory"], time.monotonic()
        cookies = _make(store, size)
        seconds = time.monotonic() - began
        # Results of writes that have expired are removed once somebody looks at them.
        for _ in client.scan_iter(count=10_000):
            pass
    info = _settled(store, lambda info: _keys(info) == size and not info["aof_rewrite_in_progress"])
    memory, file = info["used_memory"] - empty, info["aof_current_size"]
    return Filled(size, seconds, memory, file), cookies


def _make(store: Running, number: int) -> list[str]:
    """Make so many sessions in two processes.

    Raises:
        LoadTestError: one fails.
    """
    environment = {
        "REDIS_URL": store.database(),
        "PYTHONPATH": f"{machine.CHECKOUT}:{machine.CHECKOUT / 'app'}",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "loadtest.frameworks.apps.fill", str(part), str(ASKED // 2)],
            env=machine.environment(**environment),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for part in (number // 2, number - number // 2)
    ]
    printed = [process.communicate() for process in processes]
    if any(process.returncode for process in processes):
        raise LoadTestError(f"cannot make sessions: {''.join(said for _, said in printed)[-2000:]}")
    return "".join(out for out, _ in printed).splitlines()


def _restarts(folder: Path, size: int) -> list[float]:
    """Start the store several times; return the seconds until it answers with all sessions.

    Raises:
        LoadTestError: sessions are missing.
    """
    seconds = []
    for _ in range(RESTARTS):
        began = time.monotonic()
        with _store(folder) as running:
            seconds.append(time.monotonic() - began)
            # The application made one cart, too.
            if (found := _keys(_info(running))) < size:
                raise LoadTestError(f"the store has {found} of {size} sessions after a restart")
    return seconds


def _settled(store: Running, condition: Any) -> dict[str, Any]:
    """Wait until what the store says of itself fulfils a condition."""
    end = time.monotonic() + _SETTLE_SECONDS
    while not condition(info := _info(store)):
        if time.monotonic() > end:
            raise LoadTestError(f"the store does not come to rest: {_keys(info)} keys")
        time.sleep(0.01)
    return info


def _info(store: Running) -> dict[str, Any]:
    client: Any = redis.Redis.from_url(store.database())
    with client:
        info: dict[str, Any] = client.info()
    return info


def _keys(info: Mapping[str, Any]) -> int:
    return int(info.get("db0", {}).get("keys", 0))
