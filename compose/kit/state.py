"""Where a stack keeps what it makes: the layout of ``STATE_DIR``."""

import hashlib
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kit.errors import KitError

# Linux allows 107 bytes in the address of a unix socket, macOS 103; supervisord binds
# "supervisor.sock.<pid>" first, which is the longest name.
_LONGEST_ADDRESS = 100
_LONGEST_NAME = len("/supervisor.sock.4194304")
# nginx ends an address at ":", supervisord's format comments at ";" and "#" and expands "%".
_PLAIN = re.compile(r"[A-Za-z0-9_./@+=,~-]+")
_MARK = ".unsticky"
# What linters and pytest leave in the default place when they are run by hand.
_HARMLESS = {"cache", "foreign", "lowest"}


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The paths under one ``STATE_DIR``."""

    root: Path

    @property
    def run(self) -> Path:
        """Locks, service descriptions and, where the path is short enough, sockets."""
        return self.root / "run"

    @property
    def log(self) -> Path:
        """One log per service, rotated by supervisord."""
        return self.root / "log"

    @property
    def nginx(self) -> Path:
        """The rendered nginx configuration and its temporary files."""
        return self.root / "nginx"

    @property
    def data(self) -> Path:
        """The store's append-only file: it outlives ``make down``."""
        return self.root / "data"

    @property
    def releases(self) -> Path:
        """Frozen copies of the code, one folder for each content."""
        return self.root / "releases"

    @property
    def events(self) -> Path:
        """What happened to the stack, one JSON object a line."""
        return self.root / "events.jsonl"

    @property
    def verb_lock(self) -> Path:
        """Held by the verb that is changing the stack."""
        return self.root / "lock"

    @property
    def secret_key(self) -> Path:
        """The generated key that signs cookies."""
        return self.root / "secret_key"

    @property
    def secrets(self) -> Path:
        """What containers read as secrets; only its owner can enter it."""
        return self.root / "secrets"

    @property
    def certificates(self) -> Path:
        """The development certificate of the overlay ``tls``."""
        return self.secrets / "tls"

    @property
    def compose_overlay(self) -> Path:
        """What the kit tells Compose beside the files in ``compose/``."""
        return self.root / "compose.json"

    def service_lock(self, name: str) -> Path:
        """Held by a service's processes for as long as one of them lives; holds the first pid."""
        return self.run / f"{name}.lock"

    def service_spec(self, name: str) -> Path:
        """What :mod:`kit.launch` reads to start a service."""
        return self.run / f"{name}.json"

    def service_log(self, name: str) -> Path:
        """Return a service's standard error; all its output, where it has no access log."""
        return self.log / f"{name}.log"

    @property
    def sockets(self) -> Path:
        """The folder of the unix sockets: :attr:`run`, or a short one where that is too long."""
        if _fits(self.run):
            return self.run
        name = f"unsticky-{os.getuid()}-{hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]}"
        recorded = Path(_text(self.run / "sockets"))
        # A copied state folder carries a record that is not its own.
        return recorded if recorded.name == name else _short_folder(name)

    @property
    def url(self) -> str | None:
        """Where the stack answers, as the last `make up` recorded it."""
        return _text(self.run / "url") or None

    @property
    def environment(self) -> Path | None:
        """The environment of the last `make up`."""
        line = _text(self.run / "environment")
        return Path(line) if line else None

    def record(self, url: str, environment: Path) -> None:
        """Keep what the other verbs want to know of the stack that now runs."""
        (self.run / "url").write_text(url, encoding="utf-8")
        (self.run / "environment").write_text(str(environment), encoding="utf-8")

    @property
    def project(self) -> str:
        """The Compose project that runs, or may run; empty if there is none."""
        return _text(self.root / "project").partition("\n")[0]

    @property
    def project_url(self) -> str:
        """Where that project answers."""
        return _text(self.root / "project").partition("\n")[2]

    def record_project(self, name: str, url: str) -> None:
        """Keep which Compose project is this folder's, before it has a container."""
        (self.root / "project").write_text(f"{name}\n{url}", encoding="utf-8")

    def forget_project(self) -> None:
        """Say that the project has no container any more."""
        (self.root / "project").unlink(missing_ok=True)

    def claim(self) -> None:
        """Make the folder and mark it as a stack's.

        Raises:
            KitError: the folder holds something else.
        """
        here = {path.name for path in self.root.iterdir()} if self.root.is_dir() else set()
        strangers = here - _HARMLESS
        if strangers and not self.is_claimed():
            raise KitError(
                f"STATE_DIR={self.root} holds other files, such as {min(strangers)}.",
                "Give an empty or a new folder: `make clean` will remove it one day.",
            )
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / _MARK).touch()

    def is_claimed(self) -> bool:
        """Whether :meth:`claim` made this folder."""
        return (self.root / _MARK).exists()

    def create(self) -> None:
        """Make the folders inside a claimed one, and choose where the sockets go.

        Raises:
            KitError: the short run folder is another's.
        """
        for path in (self.run, self.log, self.nginx, self.data, self.releases):
            path.mkdir(mode=0o700, exist_ok=True)
        sockets = self.sockets
        _make_private(sockets)
        (self.run / "sockets").write_text(str(sockets), encoding="utf-8")

    def remove_sockets(self) -> None:
        """Remove the socket files, and the short run folder where there is one."""
        sockets = self.sockets
        if sockets == self.run:
            for path in self.run.glob("*.sock*"):
                path.unlink(missing_ok=True)
        else:
            shutil.rmtree(sockets, ignore_errors=True)
        (self.run / "sockets").unlink(missing_ok=True)


def _short_folder(name: str) -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    for base in (runtime, tempfile.gettempdir(), "/tmp"):  # noqa: S108  (made 0700, owner checked)
        if base and os.access(base, os.W_OK) and _fits(Path(base, name)):
            return Path(base, name)
    raise KitError(
        f"STATE_DIR is too long a path for a unix socket ({_LONGEST_ADDRESS} bytes), and neither "
        "XDG_RUNTIME_DIR nor the temporary folder can stand in.",
        "Choose a shorter one: make up STATE_DIR=~/unsticky",
    )


def _fits(folder: Path) -> bool:
    length = len(os.fsencode(folder)) + _LONGEST_NAME
    return length <= _LONGEST_ADDRESS and _PLAIN.fullmatch(str(folder)) is not None


def _make_private(path: Path) -> None:
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise KitError(
            f"{path} is not a private folder of yours (mode 0700).",
            "Remove it, or choose another STATE_DIR.",
        )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
