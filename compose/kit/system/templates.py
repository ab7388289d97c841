"""Rendering templates by the rule of the official nginx image.

``envsubst`` there replaces ``$NAME`` and ``${NAME}`` only where NAME is a defined variable whose
name matches ``NGINX_ENVSUBST_FILTER``; everything else stays, so nginx's own ``$host`` survives.
"""

import re
from collections.abc import Mapping
from pathlib import Path

_REFERENCE = re.compile(r"\$(?:\{(?P<braced>[A-Za-z_]\w*)\}|(?P<bare>[A-Za-z_]\w*))", re.ASCII)


def substitute(text: str, variables: Mapping[str, str], name_filter: str = "") -> str:
    """Return ``text`` with the defined variables replaced."""

    def value(match: re.Match[str]) -> str:
        name = match["braced"] or match["bare"]
        if name in variables and re.search(name_filter, name):
            return variables[name]
        return match[0]

    return _REFERENCE.sub(value, text)


def render(folder: Path, variables: Mapping[str, str], name_filter: str = "") -> dict[str, str]:
    """Return the content of each ``*.template`` below a folder, by its path without the suffix."""
    return {
        str(path.relative_to(folder).with_suffix("")): substitute(
            path.read_text(encoding="utf-8"), variables, name_filter
        )
        for path in sorted(folder.rglob("*.template"))
    }
