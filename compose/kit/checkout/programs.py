"""Run programs of this checkout in a private environment."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.console import say
from kit.errors import KitError
from kit.settings import CHECKOUT, Settings
from kit.setup.environment import Environment

PATH = os.pathsep.join(str(CHECKOUT / part) for part in (".", "app", "compose"))
"""Where Python programs of the checkout find its packages."""

# The caller's settings of these tools are for other projects.
_TOOLS = ("UV_", "PYTEST_", "RUFF_", "MYPY", "SHELLCHECK_", "HADOLINT_", "YAMLLINT_")


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of one environment, which run in the checkout.

    Every method raises `KitError`, with the given hints, if the program fails.
    """

    environment: Environment
    settings: Settings

    def module(self, name: str, *arguments: str | Path, hint: str = "") -> None:
        """Run a Python module."""
        s = self.settings
        own = {"NGINX_BIN": s.nginx_bin, "REDIS_SERVER": s.redis_server}
        env = {
            # Stacks and servers that the program starts use the environments that exist.
            "STATE_DIR": str(s.state_dir),
            "VENV_DIR": str(s.venv_dir),
            "HYPOTHESIS_STORAGE_DIRECTORY": str(CHECKOUT / ".state" / "cache" / "hypothesis"),
            **{name: str(path) for name, path in own.items() if path is not None},
        }
        _run([self.environment.python, "-m", name, *arguments], hint, **env)

    def program(self, name: str, *arguments: str | Path, hint: str = "") -> None:
        """Run a program that a package brings."""
        _run([self.environment.root / "bin" / name, *arguments], hint)


def _run(command: Sequence[str | Path], hint: str, **env: str) -> None:
    shown = shlex.join([Path(command[0]).name, *map(str, command[1:])])
    say(f"$ {shown}")
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(_TOOLS)}
    done = subprocess.run(
        command, check=False, cwd=CHECKOUT, env={**inherited, "PYTHONPATH": PATH, **env}
    )
    if done.returncode:
        raise KitError(f"{shown} failed ({done.returncode})", *filter(None, [hint]))
