"""What the kit's Compose file says of files that containers mount."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

LABEL: Final = "unsticky.files"
"""Compose replaces a container if its labels differ."""


def escaped(value: str) -> str:
    """Keep Compose from replacing what looks like one of its variables."""
    return value.replace("$", "$$")


def bind(source: Path, target: str, *, read_only: bool = True) -> dict[str, Any]:
    """Return the mount of a file or a folder, which must exist."""
    return {
        "type": "bind",
        "source": escaped(str(source)),
        "target": target,
        "read_only": read_only,
        "bind": {"create_host_path": False},
    }


def times(files: Mapping[str, str], *names: str) -> str:
    """Return when secrets last changed.

    Not their content: somebody who may inspect containers must not learn a secret's digest.
    """
    return " ".join(str(Path(files[name]).stat().st_mtime_ns) for name in names)
