"""Building a virtual environment with pip, and saying why that failed."""

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Collection, Sequence
from pathlib import Path

from kit.console import Counter, say, step
from kit.errors import KitError

# Where each wheel exists: (system, machine). Both are published for glibc only.
_NGINX_WHEELS = {("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")}
_VALKEY_WHEELS = {("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")}


def require_venv() -> None:
    """Find out whether this Python can make virtual environments.

    Raises:
        KitError: Debian and Ubuntu ship it apart.
    """
    if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise KitError(
            f"{sys.executable} has no venv module.",
            f"On Debian and Ubuntu: apt install python{version}-venv. Elsewhere, give another "
            "Python: make up PYTHON=/path/to/python3",
        )


# pip alone takes 15 MB.
_LEAST_BYTES = 20_000_000


def require_wheels(groups: Collection[str]) -> None:
    """Find out whether these groups' programs are published for this machine.

    Raises:
        KitError: one is not; the message says how to bring one's own.
    """
    system, machine = platform.system(), platform.machine()
    machine = {"amd64": "x86_64", "arm64": "aarch64" if system == "Linux" else "arm64"}.get(
        machine, machine
    )
    lacking = []
    if "nginx" in groups and (system, machine) not in _NGINX_WHEELS:
        lacking.append(("nginx", "NGINX_BIN=/path/to/nginx (1.30.4 or newer)"))
    if "valkey" in groups and (system, machine) not in _VALKEY_WHEELS:
        lacking.append(("Valkey", "REDIS_SERVER=/path/to/redis-server, or REDIS_URL=redis://…"))
    if lacking:
        raise KitError(
            f"There is no ready-made {' and no '.join(n for n, _ in lacking)} for {system} on "
            f"{machine}.",
            "Install it with your package manager and say where it is: make up "
            + " ".join(how for _, how in lacking),
        )


def install(root: Path, pins: Sequence[Path]) -> None:
    """Make an environment at ``root`` with exactly the pinned packages.

    Raises:
        KitError: it could not be made; the message says why.
    """
    say(f"Building a private environment in {root} (once; nothing else is touched)")
    with step("creating it"):
        made = subprocess.run(
            [sys.executable, "-m", "venv", root],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
        )
    if made.returncode:
        raise _explain(made.stdout + made.stderr, root)
    counter = Counter("packages", len({name for path in pins for name in _pinned(path)}))
    # Complete pins need no resolving. Wheels only: nothing is compiled on the caller's machine.
    command = [
        root / "bin" / "python", "-m", "pip", "install", "--no-deps", "--require-hashes",
        "--only-binary", ":all:", "--no-input", "--disable-pip-version-check", "--no-color",
        "--progress-bar", "off", "--retries", "2",
        *(argument for pins in pins for argument in ("-r", pins)),
    ]  # fmt: skip
    last: deque[str] = deque(maxlen=60)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as pip:
        for line in pip.stdout or ():
            last.append(line)
            if match := re.match(r"Collecting ([\w.-]+)|Processing \S*?/([\w.-]+?)-\d", line):
                counter.advance(match[1] or match[2])
    counter.finish()
    if pip.returncode:
        raise _explain("".join(last), root)


def _pinned(path: Path) -> list[str]:
    """Return the names in a file of pins, but those for Windows or for older Pythons only."""
    text = path.read_text(encoding="utf-8")
    return re.findall(r"^([\w.-]+)==[^;\s]++(?! ;.*(?:win32|full_version <))", text, re.MULTILINE)


# What pip's output says, what that means, and how to mend it.
_EXPLANATIONS = (
    (
        "No space left on device|Disk quota exceeded",
        "The disk is full.",
        "Free about 200 MB, or use another disk: make up STATE_DIR=/another/disk/unsticky",
    ),
    (
        (
            "NewConnectionError|NameResolutionError|name resolution|ConnectTimeout|ProxyError|"
            "Network is unreachable|Connection refused|timed out"
        ),
        "The package index cannot be reached.",
        (
            "The first use needs the network once: connect, or set pip's own PIP_INDEX_URL or "
            "PIP_PROXY, then repeat."
        ),
    ),
    (
        "DO NOT MATCH THE HASHES",
        "A package is not the one that was pinned.",
        "The index serves another file than the one that was checked: use another index.",
    ),
    (
        "No matching distribution found|Could not find a version",
        (
            f"A package has no ready-made wheel for {platform.system()} on {platform.machine()} "
            f"with Python {platform.python_version()}."
        ),
        (
            "With musl (Alpine) or a very new Python: name a glibc Python 3.11 to 3.13 by PYTHON=, "
            "or bring nginx and the store yourself: NGINX_BIN=, REDIS_SERVER= or REDIS_URL=."
        ),
    ),
    (
        "Permission denied|Read-only file system",
        "No permission to write the environment.",
        "Keep the stack where you may write: make up STATE_DIR=/a/folder/of/yours",
    ),
)


def _explain(output: str, root: Path) -> KitError:
    tail = "\n".join(output.strip().splitlines()[-4:])
    if shutil.disk_usage(root.parent).free < _LEAST_BYTES:
        # The venv module keeps the system's own words to itself.
        output = "No space left on device"
    for pattern, problem, cure in _EXPLANATIONS:
        if re.search(pattern, output):
            return KitError(f"{problem} It ended with:\n{tail}", cure)
    return KitError(
        f"The private environment could not be made. It ended with:\n{tail}",
        "Mend what it names, then repeat.",
    )
