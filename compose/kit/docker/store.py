"""The store's containers: their memory, their users, and what servers and Sentinels answer."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from kit.docker.containers import STORE, Container
from kit.docker.credentials import SENTINEL_USERS, USERS
from kit.docker.engine import Engine
from kit.errors import KitError
from kit.state import write_private
from kit.system.sentinel import SENTINELS, WatchedStore

SERVERS: Final = (STORE, "redis-2", "redis-3")
VALKEY: Final = "valkey/valkey:9.1"
"""The default image of compose.valkey.yaml."""

# A server that hangs would hold the client for ever.
_ASK = (
    "export REDISCLI_AUTH=$(cat /run/secrets/sentinel_password); port=$1; shift; "
    "exec timeout 2 $(command -v valkey-cli || command -v redis-cli) "
    '-2 --json -e -p $port --user sentinel "$@"'
)
_LOAD_USERS = (
    "REDISCLI_AUTH=$(cat /run/secrets/redis_health_password) timeout 2 "
    "$(command -v redis-cli || command -v valkey-cli) -p $1 --user health acl load"
)
_UNITS = {"": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3}


def memory(size: str) -> str:
    """Return the memory of a server's container: its data, buffers, and a rewrite of its file."""
    found = re.fullmatch(r"(\d+)([a-z]*)", size.lower())
    assert found is not None, size
    return str(int(found[1]) * _UNITS[found[2]] * 3 // 2)


def load_users(engine: Engine, containers: Iterable[Container], secrets: Path) -> None:
    """Let servers and Sentinels that run read their users and passwords again, if they changed."""
    loaded = secrets / f".{USERS}.loaded"
    text = "".join((secrets / name).read_text(encoding="utf-8") for name in (USERS, SENTINEL_USERS))
    if loaded.exists() and loaded.read_text(encoding="utf-8") == text:
        return
    for each in [c for c in containers if c.runs and c.service in {*SERVERS, *SENTINELS}]:
        said = engine.attempt("exec", each.id, "sh", "-c", _LOAD_USERS, "sh", _port(each.service))
        if "OK" not in said.stdout:
            # One that hangs or is of an older version, or whose password is lost.
            engine.ask("restart", each.id)
    write_private(loaded, text)


class Watched(WatchedStore):
    """The servers and Sentinels of one project."""

    servers = SERVERS

    def __init__(self, engine: Engine, containers: Iterable[Container]) -> None:
        self._engine = engine
        self._ids = {each.service: each.id for each in containers if each.runs}

    def ask(self, name: str, *words: str) -> Any:
        """See `WatchedStore.ask`."""
        if name not in self._ids:
            raise ConnectionError("its container does not run")
        command = ("sh", "-c", _ASK, "sh", _port(name), *words)
        done = self._engine.attempt("exec", self._ids[name], *command)
        if done.returncode == 0:
            return json.loads(done.stdout)
        # Errors of the server begin with such a word.
        if re.match(r"[A-Z]{2,} ", done.stderr):
            raise KitError(f"it refuses: {done.stderr.strip()}")
        raise ConnectionError(done.stderr.strip() or "it does not answer")

    def named(self, address: Sequence[str]) -> str:
        """See `WatchedStore.named`."""
        return address[0]


def _port(service: str) -> str:
    return "26379" if service in SENTINELS else "6379"
