"""The secrets that containers read: files in a folder that only the caller enters.

Compose mounts each file as it is on the host, with its owner and mode, and the containers' users
are others than the caller: so the files can be read by everybody (0444) who gets into the folder
(0700), and that is nobody else. `compose/secrets.sh` does the same by hand.
"""

import hashlib
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from kit import services, templates
from kit.errors import KitError
from kit.folder import StateFolder
from kit.settings import PROJECT, Settings

_HERE = {"localhost", "127.0.0.1", "::1"}


def prepare(settings: Settings, folder: StateFolder) -> dict[str, str]:
    """Make what is missing and return Compose's variables that name the files.

    Raises:
        KitError: containers could not reach the store that the caller gave.
    """
    place = folder.secrets
    place.mkdir(mode=0o700, exist_ok=True)
    place.chmod(0o700)
    _keep(place / "secret_key", _secret_key(settings, folder))
    if settings.redis_url is not None:
        _require_outside(settings.redis_url)
        _keep(place / "redis_url_outside", settings.redis_url)
        return {
            "SECRET_KEY_FILE": str(place / "secret_key"),
            "REDIS_URL_FILE": str(place / "redis_url_outside"),
        }
    names = ("redis_url", "redis_health_password")
    if all((place / name).exists() for name in names):
        url, health = ((place / name).read_text(encoding="utf-8") for name in names)
    else:
        url, health = f"redis://shop:{secrets.token_hex(32)}@redis:6379/0", secrets.token_hex(32)
    _keep(place / "redis_url", url)
    _keep(place / "redis_health_password", health)
    # Rendered anew each time: another version of this kit may allow the users something else.
    users = templates.substitute(
        (PROJECT / "compose" / "redis" / "users.acl.template").read_text(encoding="utf-8"),
        {
            "REDIS_APP_SHA256": _sha256(urlsplit(url).password or ""),
            "REDIS_HEALTH_SHA256": _sha256(health),
        },
    )
    _keep(place / "redis_users", users)
    return {
        "SECRET_KEY_FILE": str(place / "secret_key"),
        "REDIS_URL_FILE": str(place / "redis_url"),
        "REDIS_USERS_FILE": str(place / "redis_users"),
        "REDIS_HEALTH_PASSWORD_FILE": str(place / "redis_health_password"),
    }


def _secret_key(settings: Settings, folder: StateFolder) -> str:
    if settings.secret_key is not None:
        return settings.secret_key
    # The generated one is the local runtime's, too: cookies outlive a change of runtime.
    path = settings.secret_key_file or services.generated_key(folder)
    return path.read_text(encoding="utf-8").strip()


def _require_outside(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "unix" or parts.hostname in _HERE:
        raise KitError(
            f"REDIS_URL leads to this host ({parts.scheme}://{parts.hostname or '…'}), which is "
            "another one inside a container.",
            "Name an address that containers reach, or unset it for a store in a container.",
        )


def _keep(path: Path, text: str) -> None:
    """Write a file unless it holds that already: its time says when it last changed."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    new.chmod(0o444)
    new.replace(path)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
