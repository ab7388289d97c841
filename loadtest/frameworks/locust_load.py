"""The load of a benchmark by Locust: the mix of `load.lua`, by users that never pause.

`python -m loadtest.frameworks.locust_load URL USERS SECONDS MODE COOKIES CART ITEMS SKUS
SEED` prints the line that `load.lua` prints. It is its own program, because Locust patches the
sockets of its process.
"""

# Before everything that opens sockets, because Locust patches them.
from locust import FastHttpUser, task
from locust.env import Environment
from locust.exception import StopUser

# isort: split
import json
import random
import sys
import time
from pathlib import Path
from typing import Any, Final

from loadtest.console import say
from loadtest.harness.endpoint import percentile

_SHARE: Final = {"read": 0, "add": 100, "mix": 20}
_TIMEOUT: Final = 10.0


def main(arguments: list[str]) -> None:
    """Make the load, wait for all answers, and print the result."""
    url, users, seconds, mode, file, cart, items, skus, seed = arguments
    cookies = Path(file).read_text(encoding="ascii").splitlines()
    bodies = [json.dumps({"sku": sku}, separators=(",", ":")) for sku in skus.split(",")]
    chance = random.Random(int(seed))
    begin = time.perf_counter()
    end = begin + float(seconds)

    class Visitor(FastHttpUser):
        """Sends the cookie of a random session with each request, and keeps none."""

        host = url
        network_timeout = connection_timeout = _TIMEOUT
        concurrency = 1

        def on_start(self) -> None:
            self.client.client.cookiejar = None

        @task
        def ask(self) -> None:
            while time.perf_counter() < end:
                headers = {"Host": "localhost", "Cookie": chance.choice(cookies)}
                if chance.randrange(100) < _SHARE[mode]:
                    headers["Content-Type"] = "application/json"
                    self.client.post(items, data=chance.choice(bodies), headers=headers)
                else:
                    self.client.get(cart, headers=headers)
            raise StopUser

    ms: list[float] = []
    environment = Environment(user_classes=[Visitor])
    events: Any = environment.events
    events.request.add_listener(lambda response_time, **_: ms.append(response_time))
    runner: Any = environment.create_local_runner()
    runner.start(int(users), spawn_rate=int(users), wait=True)
    runner.spawning_greenlet.join()
    elapsed = time.perf_counter() - begin
    # A status from 400 on is a failure, too.
    failed = runner.stats.total.num_failures
    runner.quit()
    p50, p99 = (percentile(sorted(ms), point) if ms else 0.0 for point in (50, 99))
    result = {"requests": len(ms), "seconds": elapsed, "p50_ms": p50, "p99_ms": p99,
              "failed": failed}  # fmt: skip
    say(f"\nresult {json.dumps(result)}")


if __name__ == "__main__":
    main(sys.argv[1:])
