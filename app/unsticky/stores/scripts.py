"""The Lua scripts, each with the parts that it shares with others, named by its SHA-1."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files

from .replies import pieces


@dataclass(frozen=True, slots=True)
class Script:
    """A script as it is called: each a command's first parts, packed (see `replies.pieces`).

    Attributes:
        named: EVALSHA and the script's name.
        whole: EVAL and its text, for a server that does not know the name.
    """

    named: bytes
    whole: bytes


def script(body: bytes) -> Script:
    """Return the script of a body that ends with its return.

    It takes one argument more than the body, the last, and returns it after what the body returns:
    see `Connection.run`.
    """
    text = (
        b"local mark = table.remove(ARGV)\nlocal function reply()\n%b\nend\nreturn {reply(), mark}"
        % body
    )
    name = sha1(text, usedforsecurity=False).hexdigest().encode()
    return Script(pieces((b"EVALSHA", name)), pieces((b"EVAL", text)))


def load(name: str) -> Script:
    """Return the script of `lua/<name>.lua`."""
    return script(_included(name))


def _included(name: str) -> bytes:
    """Return a Lua file with each line `include '<name>'` replaced by that file."""
    text = files(__package__).joinpath("lua", f"{name}.lua").read_bytes()
    return re.sub(rb"(?m)^ *include '(\w+)'$", lambda found: _included(found[1].decode()), text)
