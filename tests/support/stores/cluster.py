"""A Redis Cluster of three primaries, and sessions in it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import redis
from redis.crc import key_slot
from unsticky.cookie import BUCKETS, Reference
from unsticky.limits import Lifetimes
from unsticky.stores.base import Bind, Caps, Listed, Move, WriteOutcome
from unsticky.stores.redis import script_of

from tests.support.ports import free_port
from tests.support.stores.places import CAPS, LIFETIMES, AtServer, LimitedStore, reference
from tests.support.stores.servers import Server, required_program
from tests.support.waiting import PATIENCE, wait_until

_SLOTS: Final = 16384
_APART: Final = ("write", "enter", "settle", "forget", "end", "end_all")


class Cluster:
    """Three primaries without replicas, as one server.

    Attributes:
        folder: where they keep their files.
        nodes: the servers.
        url: what `UNSTICKY_STORE` takes.
        raw: redis-py's own client of the cluster.
    """

    def __init__(self, size: int = 3, *options: str, folder: Path | None = None) -> None:
        program = required_program("redis-server")
        self._own = tempfile.TemporaryDirectory(prefix="c-") if folder is None else None
        self.folder = Path(self._own.name) if self._own is not None else cast("Path", folder)
        self._options = options
        self.ports = [free_port() for _ in range(size)]
        buses = [free_port() for _ in range(size)]
        self.nodes = [
            self._started(program, port, bus) for port, bus in zip(self.ports, buses, strict=True)
        ]
        for number, node in enumerate(self.nodes):
            first, end = (_SLOTS * place // size for place in (number, number + 1))
            node.raw.execute_command("CLUSTER", "ADDSLOTS", *range(first, end))
            node.raw.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for port, bus in zip(self.ports[1:], buses[1:], strict=True):
            self.nodes[0].raw.execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
        self.wait()
        # So that round trips can be counted wherever a session is.
        for name in ("read", "change", *(f"apart_{step}" for step in _APART)):
            text = script_of(name).whole.split(b"\r\n", 3)[3][:-2]
            for node in self.nodes:
                node.raw.script_load(text)
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self.raw: Any = redis.RedisCluster("127.0.0.1", self.ports[0])

    def wait(self) -> None:
        """Wait until all servers know that all slots are served."""
        wait_until(self._is_whole, "a cluster that knows all of its slots")

    def replica(self, place: int) -> Server:
        """Start a replica of a server, and wait until the cluster knows it and it has a copy."""
        port, bus = free_port(), free_port()
        new = self._started(required_program("redis-server"), port, bus)
        primary = self.nodes[place].raw.execute_command("CLUSTER", "MYID")
        self.nodes[place].raw.execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)

        def follows() -> bool:
            return bool(new.raw.execute_command("CLUSTER", "REPLICATE", primary))

        def is_copy() -> bool:
            known = [b"slave" in n.raw.execute_command("CLUSTER", "NODES") for n in self.nodes]
            # It asks the other primaries for their votes.
            seen = new.raw.execute_command("CLUSTER", "NODES").splitlines()
            knows = len(seen) == len(self.nodes) + 1
            return (
                knows and all(known) and new.raw.info("replication")["master_link_status"] == "up"
            )

        wait_until(follows, "a replica that knows its primary", ignoring=redis.ResponseError)
        wait_until(is_copy, "a replica that all know, with a copy", 2 * PATIENCE)
        return new

    def holder(self, bucket: int) -> Server:
        """Return the server that held a bucket's slot in the beginning."""
        return self.nodes[key_slot(b"%d" % bucket) * len(self.nodes) // _SLOTS]

    def move_slot(self, slot: int, source: int, target: int) -> None:
        """Move a slot from one server to another as redis-cli does, under load."""
        self.open_slot(slot, source, target)
        while self.move_keys(slot, source, target):
            pass
        self.close_slot(slot, target)

    def open_slot(self, slot: int, source: int, target: int) -> None:
        """Begin to move a slot: keys that one server lacks are asked for at the other."""
        ids = [node.raw.execute_command("CLUSTER", "MYID").decode() for node in self.nodes]
        give, take = self.nodes[source].raw, self.nodes[target].raw
        take.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        give.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])

    def move_keys(self, slot: int, source: int, target: int, count: int = 100) -> int:
        """Move some of the slot's keys; return how many."""
        give = self.nodes[source].raw
        keys = give.execute_command("CLUSTER", "GETKEYSINSLOT", slot, count)
        if keys:
            where = ("MIGRATE", "127.0.0.1", self.ports[target], "", 0, 5000, "KEYS")
            give.execute_command(*where, *keys)
        return len(keys)

    def close_slot(self, slot: int, target: int) -> None:
        """Let all servers know that the slot was moved."""
        to = self.nodes[target].raw.execute_command("CLUSTER", "MYID").decode()
        for node in [self.nodes[target], *self.nodes]:
            node.raw.execute_command("CLUSTER", "SETSLOT", slot, "NODE", to)
        port = self.ports[target]
        wait_until(lambda: self._holders(slot) == {port}, f"slot {slot} at port {port}")
        # The next taker raises the epoch that it knows. With an old one, the slot would fall back.
        wait_until(lambda: len(self._epochs()) == 1, "servers that know the last epoch")

    def _epochs(self) -> set[str]:
        """Return the cluster's epoch, as each server knows it."""
        known = [node.raw.execute_command("CLUSTER INFO") for node in self.nodes]
        return {each["cluster_current_epoch"] for each in known}

    def _holders(self, slot: int) -> set[int]:
        """Return the ports of the servers that hold a slot, as each server sees it."""
        maps = [node.raw.execute_command("CLUSTER", "SLOTS") for node in self.nodes]
        return {
            primary[1]
            for each in maps
            for first, last, primary, *_ in each
            if first <= slot <= last
        }

    def keys(self, pattern: str = "*") -> list[bytes]:
        """See `Server.keys`."""
        return sorted(key for node in self.nodes for key in node.keys(pattern))

    def calls(self) -> int:
        """See `Server.calls`."""
        return sum(node.calls() for node in self.nodes)

    def ask(self, *command: Any) -> Any:
        """Send one command to the server of its key and return its raw reply; CONFIG to all."""
        if command[0] == "CONFIG":
            replies = [node.raw.execute_command(*command) for node in self.nodes]
            return replies[0]
        return self.raw.execute_command(*command)

    def hash(self, key: bytes) -> dict[bytes, bytes]:
        """Return the fields of a hash."""
        found: dict[bytes, bytes] = self.raw.hgetall(key)
        return found

    def milliseconds(self) -> int:
        """See `Server.milliseconds`."""
        return self.nodes[0].milliseconds()

    def stop(self) -> None:
        """End the servers for good."""
        self.raw.close()
        for node in self.nodes:
            node.stop()
        if self._own is not None:
            self._own.cleanup()

    def _started(self, program: str, port: int, bus: int) -> Server:
        folder = self.folder / str(port)
        folder.mkdir()
        return Server(
            program,
            folder,
            *("--port", str(port), "--bind", "127.0.0.1", "--cluster-port", str(bus)),
            *("--cluster-enabled", "yes", "--cluster-node-timeout", "5000", *self._options),
        )

    def _is_whole(self) -> bool:
        infos = [node.raw.execute_command("CLUSTER", "INFO") for node in self.nodes]
        known = f"cluster_known_nodes:{len(self.nodes)}"
        return all("cluster_state:ok" in str(info) and known in str(info) for info in infos)


class AtCluster(AtServer):
    """A cluster, with a key prefix that nothing else uses.

    The users of tests are in other slots than their sessions, at another server.
    """

    server: Any
    bind_trips = 3

    def __init__(self, cluster: Cluster) -> None:
        whole: Any = cluster  # it has what is used of a server
        super().__init__("cluster", whole)

    def new_store(self, lifetimes: Lifetimes = LIFETIMES, caps: Caps = CAPS) -> LimitedStore:
        """See `Place.new_store`."""
        return Scattered(super().new_store(lifetimes, caps).store, lifetimes)

    def successor(self, where: Reference, user: Reference) -> Reference:
        """See `Place.successor`; the session stays in its bucket."""
        del user
        return reference(where.bucket)

    def key(self, where: Reference, kind: str = "s") -> str:
        """See `AtServer.key`."""
        return super().key(elsewhere(where) if kind == "u" else where, kind)


class Scattered(LimitedStore):
    """A store whose users are in other slots than those that tests name."""

    def under(self, lifetimes: Lifetimes) -> LimitedStore:
        """See `LimitedStore.under`."""
        return Scattered(self.store, lifetimes)

    def sessions(self, user: Reference) -> tuple[Listed, ...]:
        """See `Store.sessions`."""
        return super().sessions(elsewhere(user))

    def end_all(self, user: Reference, *arguments: Any, **options: Any) -> tuple[Reference, ...]:
        """See `Store.end_all`."""
        return super().end_all(elsewhere(user), *arguments, **options)

    def write(self, *arguments: Any, **options: Any) -> WriteOutcome:
        """See `Store.write`."""
        finish = options.get("finish")
        if isinstance(finish, Move) and finish.bind is not None:
            finish = replace(finish, bind=_elsewhere(finish.bind))
        elif isinstance(finish, Bind):
            finish = _elsewhere(finish)
        return super().write(*arguments, **options | {"finish": finish})


def elsewhere(user: Reference) -> Reference:
    """Return the same user in another slot."""
    return user._replace(bucket=(user.bucket + 504) % BUCKETS)


def _elsewhere(bind: Bind) -> Bind:
    return replace(bind, user=elsewhere(bind.user))
