"""The store as compose.yaml starts it, without a container around it."""

import subprocess
import time
from pathlib import Path
from typing import Any

import redis

from tests.support.checkout import ROOT

_COMPOSE = ROOT / "compose"
# Longer than any server takes to start here (seconds).
_PATIENCE = 20.0


class Store:
    """A server with redis.conf and the users of users.acl.template.

    Beside them there is the user ``watcher``, who may do everything and sees what was refused.

    Args:
        program: what to run.
        folder: an empty folder with a short path.
    """

    def __init__(self, program: str, folder: Path) -> None:
        self._socket = folder / "s"
        secrets = folder / "secrets"
        subprocess.run(["/bin/sh", _COMPOSE / "secrets.sh", secrets], check=True)
        url = (secrets / "redis_url").read_text()
        self._passwords = {
            "shop": url.removeprefix("redis://shop:").removesuffix("@redis:6379/0"),
            "app": url.removeprefix("redis://shop:").removesuffix("@redis:6379/0"),
            "health": (secrets / "redis_health_password").read_text(),
            "watcher": "watcher",
        }
        rules = (secrets / "redis_users").read_text()
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        if "v=7.0." in version.stdout:
            # Debian 12's does not know this one yet; the clients do without it.
            rules = rules.replace("+client|setinfo ", "")
        users = folder / "users"
        users.write_text(rules + "user watcher on >watcher ~* +@all\n")
        self._command: list[str | Path] = [
            program, _COMPOSE / "redis" / "redis.conf", "--aclfile", users, "--dir", folder,
            "--port", "0", "--unixsocket", self._socket, "--maxmemory", "64mb",
        ]  # fmt: skip
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[Any] = []

    def start(self) -> None:
        """Start the server, or start it anew, and wait until it answers."""
        self.stop()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        end = time.monotonic() + _PATIENCE
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, self._log.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server as the engine does."""
        while self._clients:
            self._clients.pop().close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_PATIENCE)

    def url(self, user: str) -> str:
        """Return where a user finds it."""
        return f"unix://{user}:{self._passwords[user]}@{self._socket}?db=0"

    def as_user(self, user: str) -> Any:
        """Return a client that logs in as a user."""
        return self.at(self.url(user))

    def at(self, url: str) -> Any:
        """Return a client for any other URL."""
        self._clients.append(redis.Redis.from_url(url, decode_responses=True))
        return self._clients[-1]

    def refused(self, user: str) -> list[tuple[str, str]]:
        """Return what a user was refused: the reason, and the command or key."""
        log = self.as_user("watcher").acl_log()
        return [(entry["reason"], entry["object"]) for entry in log if entry["username"] == user]

    def _answers(self) -> bool:
        try:
            return bool(self.as_user("health").ping())
        except redis.ConnectionError:
            return False
