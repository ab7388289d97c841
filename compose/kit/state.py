"""The state of a stack on disk: the layout of ``STATE_DIR``, and its events."""

import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from kit.errors import KitError

# Linux allows 107 bytes in the address of a unix socket, macOS 103; supervisord binds
# "supervisor.sock.<pid>" first, which is the longest name.
_LONGEST_ADDRESS = 100
_LONGEST_NAME = len("/supervisor.sock.4194304")
# nginx ends an address at ":", supervisord's format comments at ";" and "#" and expands "%".
_PLAIN = re.compile(r"[A-Za-z0-9_./@+=,~-]+")
_MARK = ".unsticky"
# Linters and pytest leave these in the default folder.
_HARMLESS = {"cache", "foreign", "lowest"}


class StateFolder:
    """The paths under one ``STATE_DIR``.

    Attributes:
        run: locks, descriptions of services, and the sockets if the path is short enough.
        log: one log for each service, rotated by supervisord.
        nginx: the rendered nginx configuration and nginx's temporary files.
        data: the store's append-only file, which ``make down`` keeps.
        instance: the data of an application that has no folder for it.
        locks: the resolved packages of applications, one file for each set.
        releases: frozen copies of the code, one folder for each content.
        mounted: frozen copies of the checkout's files that containers mount.
        templates: nginx's templates, which its container mounts.
        former_templates: those before the deployment that goes on, as JSON.
        events: what happened to the stack, one JSON object a line.
        verb_lock: the lock that a verb holds while it changes the stack.
        secret_key: the generated key that signs cookies.
        secrets: the secrets that containers read; only the owner can enter this folder.
        certificates: the development certificate of the overlay ``tls``.
        primary: the name of the server that was a container's store's primary at the last `down`.
        compose_overlay: what the kit adds to the Compose files in ``compose/``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run = root / "run"
        self.log = root / "log"
        self.nginx = root / "nginx"
        self.data = root / "data"
        self.instance = root / "instance"
        self.locks = root / "locks"
        self.releases = root / "releases"
        self.mounted = root / "mounted"
        self.templates = root / "templates"
        self.former_templates = root / "templates.json"
        self.events = root / "events.jsonl"
        self.verb_lock = root / "lock"
        self.secret_key = root / "secret_key"
        self.secrets = root / "secrets"
        self.certificates = self.secrets / "tls"
        self.primary = root / "primary"
        self.compose_overlay = root / "compose.json"

    def service_lock(self, name: str) -> Path:
        """Return the lock that a service's processes hold; the file contains the first pid."""
        return self.run / f"{name}.lock"

    def service_spec(self, name: str) -> Path:
        """Return the file that ``kit.local.launch`` reads to start a service."""
        return self.run / f"{name}.json"

    def service_log(self, name: str) -> Path:
        """Return the log of a service's standard error, or of all its output."""
        return self.log / f"{name}.log"

    @property
    def sockets(self) -> Path:
        """The folder of the unix sockets: `run`, or the short folder that `create` made."""
        recorded = Path(_text(self.run / "sockets"))
        # A copied state folder contains the record of the original.
        is_ours = recorded.name.startswith(self._short_name) and not _fits(self.run)
        return recorded if is_ours else self.run

    @property
    def _short_name(self) -> str:
        return f"unsticky-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]}-"

    @property
    def url(self) -> str | None:
        """The address of the local stack, recorded by the last `make up`."""
        return _text(self.run / "url") or None

    @property
    def environment(self) -> Path | None:
        """The virtual environment that the last `make up` used."""
        line = _text(self.run / "environment")
        return Path(line) if line else None

    @property
    def released(self) -> str:
        """A digest of the RELEASE_COMMAND that has run last, and of all that it depends on."""
        return _text(self.run / "released")

    def record_released(self, digest: str) -> None:
        """Record that a RELEASE_COMMAND has run."""
        (self.run / "released").write_text(digest, encoding="utf-8")

    def record(self, url: str, environment: Path) -> None:
        """Record the address and the environment of the local stack for the other verbs."""
        (self.run / "url").write_text(url, encoding="utf-8")
        (self.run / "environment").write_text(str(environment), encoding="utf-8")

    @property
    def project(self) -> str:
        """The Compose project that may have containers; empty if there is none."""
        return _text(self.root / "project").partition("\n")[0]

    @property
    def project_url(self) -> str:
        """The address of that project."""
        return _text(self.root / "project").partition("\n")[2]

    def record_project(self, name: str, url: str) -> None:
        """Record the Compose project of this folder, before it has a container."""
        (self.root / "project").write_text(f"{name}\n{url}", encoding="utf-8")

    def forget_project(self) -> None:
        """Record that the project has no containers any more."""
        (self.root / "project").unlink(missing_ok=True)

    def record_event(self, kind: str, target: str, detail: str = "") -> None:
        """Append ``{"time", "kind", "target", "detail"}``; the time is RFC 3339 UTC with ms."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": time, "kind": kind, "target": target, "detail": detail})
        with self.events.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def generated_key(self) -> Path:
        """Return the file of the generated key, which is made once."""
        try:
            descriptor = os.open(self.secret_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return self.secret_key
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        return self.secret_key

    def claim(self) -> None:
        """Make the folder, for its owner alone, and mark it as the state of a stack."""
        if self.root.is_symlink() and not self.root.exists():
            raise KitError(
                f"STATE_DIR={self.root} is a link to {self.root.readlink()}, which does not exist",
                "make that folder, or remove the link",
            )
        here = {path.name for path in self.root.iterdir()} if self.root.is_dir() else set()
        strangers = here - _HARMLESS
        if strangers and not self.is_claimed():
            raise KitError(
                f"STATE_DIR={self.root} holds other files, such as {min(strangers)}",
                "name a new or an empty folder, because `make clean` removes it",
            )
        self.root.mkdir(parents=True, exist_ok=True)
        if self.root.stat().st_uid == os.getuid():
            # Who can open the locks in it could hold them, and keep every verb out.
            self.root.chmod(0o700)
        (self.root / _MARK).touch()

    def is_claimed(self) -> bool:
        """Whether `claim` made this folder."""
        return (self.root / _MARK).exists()

    def create(self) -> None:
        """Make the folders inside a claimed one, and that of the sockets."""
        for path in (self.run, self.log, self.nginx, self.data, self.releases):
            path.mkdir(mode=0o700, exist_ok=True)
        if not _fits(self.run) and (self.sockets == self.run or not _is_private(self.sockets)):
            short = _short_folder(self._short_name)
            (self.run / "sockets").write_text(str(short), encoding="utf-8")

    def remove_sockets(self) -> None:
        """Remove the socket files, and the short folder if there is one."""
        sockets = self.sockets
        if sockets == self.run:
            for path in self.run.glob("*.sock*"):
                path.unlink(missing_ok=True)
        else:
            shutil.rmtree(sockets, ignore_errors=True)
        (self.run / "sockets").unlink(missing_ok=True)

    def remove(self) -> list[Path]:
        """Remove the folder with all that is in it; return the targets of links, which stay.

        If `root` is a link or a mount point, it stays and is empty.
        """
        targets = []
        # The mark last, so that an interrupted removal can go on.
        for path in sorted(self.root.iterdir(), key=lambda path: path.name == _MARK):
            if path.is_symlink():
                targets.append(path.resolve())
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        with suppress(OSError):
            self.root.rmdir()
        return targets


def _short_folder(prefix: str) -> Path:
    """Make a private folder. Its name is random, so that nobody can take it before."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    for base in (runtime, tempfile.gettempdir(), "/tmp"):  # noqa: S108  (made by mkdtemp)
        if base and os.access(base, os.W_OK) and _fits(Path(base, f"{prefix}12345678")):
            return Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    raise KitError(
        f"the path of STATE_DIR is too long for a unix socket ({_LONGEST_ADDRESS} bytes), and "
        "neither XDG_RUNTIME_DIR nor the temporary folder can be used instead",
        "choose a shorter one: make up STATE_DIR=~/unsticky",
    )


def _fits(folder: Path) -> bool:
    length = len(os.fsencode(folder)) + _LONGEST_NAME
    return length <= _LONGEST_ADDRESS and _PLAIN.fullmatch(str(folder)) is not None


def _is_private(path: Path) -> bool:
    """Whether it is a folder that only the caller can enter."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_IMODE(found.st_mode) == 0o700 and found.st_uid == os.getuid() and path.is_dir()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def write_private(path: Path, text: str) -> None:
    """Replace a file at once; only its owner can read it."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)
