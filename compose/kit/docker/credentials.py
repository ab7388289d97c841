"""The secrets that containers read: files in a folder that only the caller can enter.

Compose mounts each file with the owner and the mode that it has on the host, and the containers'
users differ from the caller. So everybody can read the files (0444) who can enter the folder
(0700), and that is the caller alone. `compose/secrets.sh` makes the same files for plain Compose.
"""

import hashlib
import os
import re
import secrets
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from kit.console import warn
from kit.docker import mongodb
from kit.errors import KitError
from kit.settings import CHECKOUT, Settings
from kit.state import StateFolder, write_private
from kit.system import store_url, templates

USERS = "redis_users"
SENTINEL_USERS, SENTINEL_PASSWORD = SENTINEL_FILES = "sentinel_users", "sentinel_password"
_TEMPLATES = CHECKOUT / "compose" / "redis"
_SENTINELS = "sentinel-1:26379,sentinel-2:26379,sentinel-3:26379"
_HERE = {"localhost", "127.0.0.1", "::1"}


def prepare(
    settings: Settings, state: StateFolder, secret_key: str | None = None
) -> dict[str, str]:
    """Make what is missing, and return Compose's variables that name the files.

    `secret_key` is one that the application has among its own settings.

    Raises:
        KitError: containers cannot reach the store that the caller named.
    """
    folder = state.secrets
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    files = {
        "SECRET_KEY_FILE": _keep(folder / "secret_key", secret_key or _secret_key(settings, state))
    }
    if settings.in_mongodb:
        files[mongodb.URL] = _of_mongodb(folder, settings.mongodb_url)
    if settings.redis_url is not None:
        _require_outside("REDIS_URL", settings.redis_url)
        files["REDIS_URL_FILE"] = _keep(folder / "redis_url_outside", settings.redis_url)
        return files
    if not settings.own_store:
        # Compose needs a file, of which no replica learns anything else.
        return files | {"REDIS_URL_FILE": files[mongodb.URL]}
    names = ("redis_url", "redis_health_password")
    path, former = folder / USERS, ""
    if all((folder / name).exists() for name in names):
        url, health = ((folder / name).read_text(encoding="utf-8") for name in names)
        former = path.read_text(encoding="utf-8") if path.exists() else ""
    else:
        url, health = f"redis://shop:{secrets.token_hex(32)}@redis:6379/0", secrets.token_hex(32)
    own, shop = folder / SENTINEL_PASSWORD, urlsplit(url).password or ""
    if not own.exists():
        _keep(own, secrets.token_hex(32))
    digests = {
        "REDIS_APP_SHA256": _accepted(shop, former, "shop"),
        "REDIS_HEALTH_SHA256": _accepted(health, former, "health"),
        "REDIS_SENTINEL_SHA256": _sha256(own.read_text(encoding="utf-8")),
    }
    # Rendered each time, because another version of the kit may allow the users something else.
    for name, template in ((USERS, "users"), (SENTINEL_USERS, "sentinels")):
        text = (_TEMPLATES / f"{template}.acl.template").read_text(encoding="utf-8")
        _rewrite(folder / name, templates.substitute(text, digests))
    login = f"?sentinel_username=shop&sentinel_password={shop}"
    watched = f"redis+sentinel://shop:{shop}@{_SENTINELS}/unsticky/0{login}"
    single, several = _keep(folder / "redis_url", url), _keep(folder / "sentinel_url", watched)
    return {
        **files,
        "REDIS_URL_FILE": several if settings.store == "sentinel" else single,
        "REDIS_HEALTH_PASSWORD_FILE": _keep(folder / "redis_health_password", health),
        "REDIS_USERS_FILE": str(path),
    }


def _of_mongodb(folder: Path, outside: str | None) -> str:
    """Return the file with the URL of the sessions' MongoDB; make what a container of it needs."""
    if outside is not None:
        _require_outside("MONGODB_URL", outside)
        return _keep(folder / "mongodb_url_outside", outside)
    for name, text in mongodb.credentials().items():
        if not (folder / name).exists():
            _keep(folder / name, text)
    return str(folder / "mongodb_url")


def _accepted(password: str, users: str, name: str) -> str:
    """Return the digests of a user's passwords: this one, and those of `secrets.sh next`."""
    line = re.search(rf"^user {name} .*", users, re.MULTILINE)
    others = re.findall(r" #([0-9a-f]{64})\b", line[0]) if line else []
    return " #".join(dict.fromkeys([_sha256(password), *others]))


def make_certificate(folder: Path) -> None:
    """Make a certificate for development, once.

    Raises:
        KitError: openssl is missing or fails.
    """
    if (folder / "fullchain.pem").exists():
        return
    made = subprocess.run(
        ["/bin/sh", CHECKOUT / "compose" / "certificate.sh"],
        env={"TLS_DIR": str(folder), "PATH": os.environ["PATH"]},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if made.returncode:
        raise KitError(
            f"cannot make a certificate for OVERLAYS=tls:\n{made.stderr.strip()}",
            "name a folder with fullchain.pem and privkey.pem: "
            "make up RUNTIME=docker TLS_DIR=/etc/tls",
        )
    warn(f"made a certificate for development in {folder}; set TLS_DIR for a real one")


def _secret_key(settings: Settings, state: StateFolder) -> str:
    if settings.secret_key is not None:
        return settings.secret_key
    # Both runtimes use the generated key, so that cookies survive a change of runtime.
    path = settings.secret_key_file or state.generated_key()
    return path.read_text(encoding="utf-8").strip()


def _require_outside(name: str, url: str) -> None:
    hosts = store_url.hosts(url)
    if not hosts or not _HERE.isdisjoint(hosts):
        raise KitError(
            f"containers cannot reach {name}={urlsplit(url).scheme}://{','.join(hosts) or '…'}: "
            "inside a container, that is the container itself",
            "name an address that containers reach, or unset it to use a store in a container",
        )


def _keep(path: Path, text: str) -> str:
    """Write a file unless it holds the text already; its time says when it last changed."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_private(path, text)
        path.chmod(0o444)
    return str(path)


def _rewrite(path: Path, text: str) -> None:
    """Write a file in place, because a container keeps the one that it has mounted."""
    if not path.exists():
        _keep(path, text)
    elif path.read_text(encoding="utf-8") != text:
        path.chmod(0o600)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o444)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
