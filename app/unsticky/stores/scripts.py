"""The Lua scripts: each with the shared prelude before it, named by its SHA-1."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A script as the server knows it."""

    source: bytes
    sha: bytes


def load(name: str) -> Script:
    """Return the script of `lua/<name>.lua`, with the prelude before it."""
    folder = files(__package__).joinpath("lua")
    source = (
        folder.joinpath("prelude.lua").read_bytes() + folder.joinpath(f"{name}.lua").read_bytes()
    )
    return Script(source, sha1(source, usedforsecurity=False).hexdigest().encode())
