"""A store that fails over: which server is the primary, and how it hands over to another one."""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, Final

from kit.errors import KitError

SENTINELS: Final = ("sentinel-1", "sentinel-2", "sentinel-3")
SERVICE: Final = "unsticky"
"""The Sentinels' name of the primary."""

_HAND_OVER_SECONDS = 20.0
_PAUSE_SECONDS = 3
_COPY_SECONDS = 1.0


class WatchedStore(ABC):
    """Servers, and the Sentinels that watch them.

    Attributes:
        servers: their names; the first one is that of a store without Sentinels.
    """

    servers: ClassVar[tuple[str, ...]]

    @abstractmethod
    def ask(self, name: str, *words: str) -> Any:
        """Ask a server or a Sentinel; its answer is a text, a number, a list of them, or None.

        Raises:
            OSError: it does not answer.
            KitError: it refuses.
        """

    @abstractmethod
    def named(self, address: Sequence[str]) -> str:
        """Return the name of the server at a host and a port that a Sentinel names."""

    def roles(self) -> dict[str, str]:
        """Return what each server does, and how many bytes a replica is behind."""
        with suppress(OSError, KitError):
            return self._roles(self.primary())
        return self._roles("")

    def primary(self) -> str:
        """Return the server that the Sentinels name.

        Raises:
            KitError: none of them answers.
        """
        for sentinel in SENTINELS:
            with suppress(OSError, KitError):
                found = self.ask(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
                if found:
                    return self.named(found)
        raise KitError("no Sentinel answers", "`make up` starts what is missing")

    def hand_over(self, name: str) -> str:
        """Let another server become the primary if this one is; return the one that is then.

        The primary first stops taking changes, and hands over what it has. Requests wait.

        Raises:
            KitError: no replica can take over, or it takes too long.
        """
        if self.primary() != name:
            return self.primary()
        deadline = time.monotonic() + _HAND_OVER_SECONDS
        self._begin(name, deadline)
        # The former one also has to know that it is a replica when it starts again.
        while self.primary() == name or not self._follows(name):
            if time.monotonic() > deadline:
                raise KitError(
                    f"{name} did not hand over within {_HAND_OVER_SECONDS:.0f} s",
                    "look at `make status` and `make logs SERVICE=sentinel-1`, then try again",
                )
            time.sleep(0.1)  # each question is a login, in containers a process
        return self.primary()

    def _begin(self, name: str, deadline: float) -> None:
        """Ask the Sentinels for another primary, until one agrees."""
        while problem := self._refusal(name):
            if time.monotonic() > deadline or "NOGOODSLAVE" in problem:
                raise KitError(
                    f"{name} cannot hand over: {problem}",
                    "`make status` shows the replicas, `make up` starts those that are missing",
                )
            time.sleep(0.5)  # another fail-over goes on, or a Sentinel is away for a moment

    def _refusal(self, name: str) -> str:
        """Ask a Sentinel for another primary; return why it refuses, empty if it does not."""
        for sentinel in SENTINELS:
            with suppress(OSError):
                try:
                    self.ask(sentinel, "SENTINEL", "FAILOVER", SERVICE, "COORDINATED")
                except KitError as error:
                    if "NOGOODSLAVE" in error.problem or "INPROG" in error.problem:
                        return error.problem
                    return self._after_a_pause(name, sentinel)
                return ""
        return "no Sentinel answers"

    def _after_a_pause(self, name: str, sentinel: str) -> str:
        """Do the same with Redis, and with Valkey before 9, which cannot coordinate."""
        self._pause(name)
        try:
            self.ask(sentinel, "SENTINEL", "FAILOVER", SERVICE)
        except KitError as error:
            self.ask(name, "CLIENT", "UNPAUSE")
            return error.problem
        return ""

    def _pause(self, primary: str) -> None:
        """Let the primary take no changes for a moment, until its replicas have all that it has."""
        self.ask(primary, "CLIENT", "PAUSE", str(_PAUSE_SECONDS * 1000), "WRITE")
        end = time.monotonic() + _COPY_SECONDS
        while time.monotonic() < end:
            found = self._answers()
            role, newest, *_ = found.get(primary, ("", 0))
            copies = [answer[4] for answer in found.values() if answer[0] == "slave"]
            if role == "master" and all(copy >= newest for copy in copies):
                return

    def _follows(self, name: str) -> bool:
        with suppress(OSError, KitError):
            return bool(self.ask(name, "ROLE")[0] == "slave")
        return False

    def _answers(self) -> dict[str, list[Any]]:
        found = {}
        for name in self.servers:
            with suppress(OSError, KitError):
                found[name] = self.ask(name, "ROLE")
        return found

    def _roles(self, primary: str) -> dict[str, str]:
        found = self._answers()
        # One that a Sentinel has just named, or names still, may be a replica.
        role, newest, *_ = found.get(primary, ("", None))
        newest = newest if role == "master" else None
        roles = {name: _role(found.get(name), newest) for name in self.servers}
        former = [name for name in found if roles[name] == "primary" and newest is not None]
        return roles | {name: "not the primary any more" for name in former if name != primary}


def _role(answer: list[Any] | None, newest: int | None) -> str:
    if answer is None:
        return "does not answer"
    if answer[0] == "master":
        return "primary"
    if answer[3] != "connected":
        return "replica, not connected"
    behind = "" if newest is None else f", {max(0, newest - answer[4])} B behind"
    return f"replica{behind}"
