"""Sessions in MongoDB: the caller's server, or that of compose.mongodb.yaml."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kit.docker.containers import APP, MONGODB
from kit.docker.mounts import LABEL, bind, escaped, times
from kit.settings import CHECKOUT, Settings
from kit.state import StateFolder

FOLDER: Final = CHECKOUT / "compose" / MONGODB
"""What its container mounts."""
URL: Final = "MONGODB_URL_FILE"
"""The name of the file with the URL, among those that `kit.docker.credentials` makes."""

_OWN: Final = ("mongodb_key", "mongodb_admin_password")


def runs(settings: Settings) -> bool:
    """Whether a container of the stack is the server."""
    return settings.in_mongodb and not settings.mongodb_url


def credentials() -> dict[str, str]:
    """Return new texts for all that its container needs, by the names of the files."""
    url = f"mongodb://shop:{secrets.token_hex(32)}@mongodb:27017/unsticky?authSource=admin"
    return {"mongodb_url": url, **{name: secrets.token_hex(32) for name in _OWN}}


def join(
    overlay: dict[str, Any],
    state: StateFolder,
    files: Mapping[str, str],
    kept: Path | None,
) -> None:
    """Add to the kit's Compose file what it says of MongoDB.

    `kept` is a copy of `FOLDER`, which the server's container mounts, if there is one.
    """
    paths, changed = {"mongodb_url": files[URL]}, times(files, URL)
    app = overlay["services"][APP]
    app["environment"]["UNSTICKY_STORE_FILE"] = "/run/secrets/mongodb_url"
    app["secrets"] = ["mongodb_url"]
    app["labels"][LABEL] += f" {changed}"
    if kept is not None:
        paths |= {name: str(state.secrets / name) for name in _OWN}
        # At its start, it gives its user the password of the URL.
        server = {"labels": {LABEL: f"{kept.name} {changed}"}}
        overlay["services"][MONGODB] = {**server, "volumes": [bind(kept, "/etc/mongodb")]}
    found = overlay.setdefault("secrets", {})
    found |= {name: {"file": escaped(path)} for name, path in paths.items()}
