"""The containers of a store that fails over, and what they answer."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from kit.docker.containers import STORE, Container
from kit.docker.engine import Engine
from kit.errors import KitError
from kit.system.sentinel import SENTINELS, WatchedStore

SERVERS: Final = (STORE, "redis-2", "redis-3")

# A server that hangs would hold the client for ever.
_ASK = (
    "export REDISCLI_AUTH=$(cat /run/secrets/sentinel_password); port=$1; shift; "
    "exec timeout 2 $(command -v valkey-cli || command -v redis-cli) "
    '-2 --json -e -p $port --user sentinel "$@"'
)


def is_store(service: str) -> bool:
    """Whether a service is a server of the store, or a Sentinel."""
    return service in {*SERVERS, *SENTINELS}


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
        port = "26379" if name in SENTINELS else "6379"
        done = self._engine.attempt("exec", self._ids[name], "sh", "-c", _ASK, "sh", port, *words)
        if done.returncode == 0:
            return json.loads(done.stdout)
        # Errors of the server begin with such a word.
        if re.match(r"[A-Z]{2,} ", done.stderr):
            raise KitError(f"it refuses: {done.stderr.strip()}")
        raise ConnectionError(done.stderr.strip() or "it does not answer")

    def named(self, address: Sequence[str]) -> str:
        """See `WatchedStore.named`."""
        return address[0]
