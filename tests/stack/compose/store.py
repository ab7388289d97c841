"""The store as compose.yaml starts it, without a container around it."""

import re
import subprocess
from pathlib import Path
from typing import Any

import redis

from tests.support.checkout import ROOT
from tests.support.stores.servers import Server

_COMPOSE = ROOT / "compose"


class Store(Server):
    """A server with redis.conf and the users of users.acl.template.

    One more user, `watcher`, may do everything and sees what was refused.

    Args:
        program: what to run.
        folder: an empty folder with a short path.
    """

    def __init__(self, program: str, folder: Path) -> None:
        secrets = folder / "secrets"
        subprocess.run(["/bin/sh", _COMPOSE / "secrets.sh", secrets], check=True)
        (shop,) = re.findall("shop:(.*)@", (secrets / "redis_url").read_text())
        health = (secrets / "redis_health_password").read_text()
        self._passwords = {"shop": shop, "app": shop, "health": health, "watcher": "watcher"}
        rules = (secrets / "redis_users").read_text()
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        if "v=7.0." in version.stdout:
            # Debian 12's server does not know this rule yet; clients work without it.
            rules = rules.replace("+client|setinfo ", "")
        users = folder / "users"
        users.write_text(rules + "user watcher on >watcher ~* +@all\n")
        self._clients: list[Any] = []
        super().__init__(
            program,
            folder,
            *("--aclfile", str(users), "--maxmemory", "64mb"),
            configuration=_COMPOSE / "redis" / "redis.conf",
            url=f"unix://watcher:watcher@{folder / 's'}?db=0",
        )

    def restart(self) -> None:
        """End the server as a container engine does, and start it again."""
        self._close_clients()
        self.terminate()
        self.start()

    def stop(self) -> None:
        """End the server for good."""
        self._close_clients()
        super().stop()

    def url_of(self, user: str) -> str:
        """Return the URL by which a user connects."""
        return f"unix://{user}:{self._passwords[user]}@{self.socket}?db=0"

    def as_user(self, user: str) -> Any:
        """Return a client that logs in as a user."""
        return self.at(self.url_of(user))

    def at(self, url: str) -> Any:
        """Return a client for any other URL."""
        self._clients.append(redis.Redis.from_url(url, decode_responses=True))
        return self._clients[-1]

    def refused(self, user: str) -> list[tuple[str, str]]:
        """Return what a user was refused: the reason, and the command or key."""
        log = self.as_user("watcher").acl_log()
        return [(entry["reason"], entry["object"]) for entry in log if entry["username"] == user]

    def _close_clients(self) -> None:
        while self._clients:
            self._clients.pop().close()
