"""A store that fails over: three servers, and three Sentinels that choose another primary.

Sentinel keeps its choice in its own file and in those of the servers, which so survive restarts.
What the kit wants of a server comes from a second file that is read after its own.
"""

import json
import random
import re
import secrets
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kit.errors import KitError
from kit.settings import Settings
from kit.state import StateFolder, write_private
from kit.system import resp
from kit.system.readiness import Answer
from kit.system.sentinel import SENTINELS, SERVICE, WatchedStore

SERVERS: Final = ("valkey", "valkey-2", "valkey-3")

# Below those that systems give to outgoing connections: a server's stays free while it restarts.
_PORTS = range(20_000, 32_000)
_FOLLOWS = re.compile(r"^replicaof ", re.MULTILINE)
# A fail-over that finds no leader begins again after twice its timeout.
_SENTINEL = """\
sentinel monitor {service} 127.0.0.1 {primary} 2
sentinel auth-pass {service} {password}
sentinel sentinel-pass {password}
sentinel down-after-milliseconds {service} 2000
sentinel failover-timeout {service} 3000
sentinel parallel-syncs {service} 1
"""
# Replicas that come at once need no wait for others. The lag counts only with min-replicas.
_SERVER = """
masterauth {password}
repl-diskless-sync-delay 0
min-replicas-to-write {least}
min-replicas-max-lag 3
"""
_COMMON = """
port {port}
bind 127.0.0.1
requirepass {password}
"""


@dataclass(frozen=True, slots=True)
class Watched(WatchedStore):
    """The servers and Sentinels of one state folder: where they listen, and their password."""

    servers = SERVERS

    password: str
    ports: Mapping[str, int]

    @property
    def url(self) -> str:
        """What the session library takes."""
        hosts = ",".join(f"127.0.0.1:{self.ports[name]}" for name in SENTINELS)
        login = f"sentinel_password={self.password}"
        return f"redis+sentinel://:{self.password}@{hosts}/{SERVICE}/0?{login}"

    def settings(self, name: str, least: int = 0, primary: str = SERVERS[0]) -> str:
        """Return the lines of configuration that make a server, or a Sentinel, one of these."""
        more = _SENTINEL if name in SENTINELS else _SERVER
        return (_COMMON + more).format(
            port=self.ports[name],
            primary=self.ports[primary],
            password=self.password,
            service=SERVICE,
            least=least,
        )

    def probe(self, name: str) -> Answer:
        """Ask whether a server takes part, or whether a Sentinel knows all the others."""
        try:
            if name in SENTINELS:
                known = self.ask(name, "SENTINEL", "MASTER", SERVICE)
                known = dict(zip(known[::2], known[1::2], strict=True))
                others = int(known["num-slaves"]) + int(known["num-other-sentinels"])
                return Answer() if others >= 4 else Answer("it does not know the others yet")
            role, *rest = self.ask(name, "ROLE")
            if role == "slave":
                return Answer() if rest[2] == "connected" else Answer("it follows no primary yet")
            self.ask(name, "SET", "unsticky:kit:ready", "1", "EX", "10")
            self.ask(name, "DEL", "unsticky:kit:ready")
        except OSError as error:
            return Answer(f"it does not answer ({error.strerror or error})")
        except KitError as error:
            return Answer(error.problem)
        return Answer()

    def ask(self, name: str, *words: str) -> Any:
        """See `WatchedStore.ask`."""
        return resp.ask(("127.0.0.1", self.ports[name]), self.password, *words)

    def named(self, address: Sequence[str]) -> str:
        """See `WatchedStore.named`."""
        return next(name for name, port in self.ports.items() if str(port) == address[1])


def recorded(state: StateFolder) -> Watched:
    """Return what is recorded of the state folder's servers and Sentinels; record it first."""
    path = _record(state)
    if not path.exists():
        ports = dict(zip((*SERVERS, *SENTINELS), free_ports(), strict=False))
        write_private(path, json.dumps({"password": secrets.token_hex(32), "ports": ports}))
    return Watched(**json.loads(path.read_text(encoding="utf-8")))


def prepare(settings: Settings, state: StateFolder, running: Collection[str]) -> None:
    """Make the files that servers and Sentinels change themselves, before the first one starts.

    A port that another program has taken since is replaced in all files. `running` are the names
    of the services that run.

    Raises:
        KitError: a store of the other kind runs, or has later data.
    """
    is_watched, stores = settings.store == "sentinel", {*SERVERS, *SENTINELS}.intersection(running)
    if settings.own_store and stores and is_watched != _is_watched(stores, state):
        former = "single" if is_watched else "sentinel"
        raise KitError(
            f"the store runs with STORE={former}, and cannot change while it runs",
            f"to keep it, set STORE={former}",
            f"`make down`, then `make up STORE={settings.store}`: its data comes along",
        )
    last, wanted = latest(state), settings.store
    if settings.own_store and not is_watched and last != SERVERS[0]:
        raise KitError(
            f"the store's last primary was {last}, and STORE={wanted} would start {SERVERS[0]}",
            f"`make up STORE=sentinel`, and `make restart SERVICE=` the primary that `make status` "
            f"shows, until it is {SERVERS[0]}; then `make down` and STORE={wanted}",
        )
    if not is_watched or stores:
        return
    watched = recorded(state)
    free = (port for port in free_ports() if port not in watched.ports.values())
    taken = {port: next(free) for port in watched.ports.values() if not is_free(port)}
    ports = {name: taken.get(port, port) for name, port in watched.ports.items()}
    is_primary = not _follows(last, state)
    for name in ports:
        path = own_file(name, state)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if path.exists():
            text = path.read_text(encoding="utf-8")
            for old, new in taken.items():
                text = re.sub(rf"\b{old}\b", str(new), text)
            # Of a folder that was moved or copied, it is the former one.
            text = re.sub(r"^dir .*\n", "", text, flags=re.MULTILINE)
        else:
            made = Watched(watched.password, ports).settings(name, primary=last)
            text = made if name in SENTINELS else ""
        # One that has not seen that it was replaced would be a primary without replicas.
        if name in SERVERS and name != last and is_primary and not _FOLLOWS.search(text):
            text += f"replicaof 127.0.0.1 {ports[last]}\n"
        write_private(path, text)
    write_private(_record(state), json.dumps({"password": watched.password, "ports": ports}))


def own_file(name: str, state: StateFolder) -> Path:
    """Return the configuration that a server or a Sentinel changes itself, in its data folder."""
    # The first server is that of a store without Sentinels, and has its data.
    folder = state.data if name == SERVERS[0] else state.data / name
    return folder / ("sentinel.conf" if name in SENTINELS else "server.conf")


def latest(state: StateFolder) -> str:
    """Return the server whose data counts if nothing runs: the last primary."""
    if not _record(state).exists():
        return SERVERS[0]
    names = {str(port): name for name, port in recorded(state).ports.items()}
    # Without Sentinels' files, the servers' tell.
    masters = [name for name in SERVERS if _follows(name, state) is False]
    choices = [(-1, (masters or SERVERS)[0])]
    for sentinel in SENTINELS:
        with suppress(FileNotFoundError):
            text = own_file(sentinel, state).read_text(encoding="utf-8")
            port = re.findall(rf"^sentinel monitor {SERVICE} \S+ (\d+)", text, re.MULTILINE)
            epoch = re.findall(rf"^sentinel config-epoch {SERVICE} (\d+)", text, re.MULTILINE)
            if port and port[0] in names:
                choices.append((int(epoch[0]) if epoch else 0, names[port[0]]))
    return max(choices)[1]


def _is_watched(running: Collection[str], state: StateFolder) -> bool:
    """Whether what runs belongs to a store of several servers, of which the first may be left."""
    if {*running} != {SERVERS[0]}:
        return True
    spec = json.loads(state.service_spec(SERVERS[0]).read_text(encoding="utf-8"))
    return str(own_file(SERVERS[0], state)) in spec["argv"]


def _follows(name: str, state: StateFolder) -> bool | None:
    """Whether a server starts as a replica; None if it never started."""
    path = own_file(name, state)
    return bool(_FOLLOWS.search(path.read_text(encoding="utf-8"))) if path.exists() else None


def _record(state: StateFolder) -> Path:
    return state.data / "sentinel.json"


def free_ports() -> Iterator[int]:
    """Yield ports of this host on which a server can listen, and stays where it is restarted."""
    return (port for port in random.sample(_PORTS, len(_PORTS)) if is_free(port))


def is_free(port: int) -> bool:
    """Whether a server can listen on a port of this host."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return True
    return False
