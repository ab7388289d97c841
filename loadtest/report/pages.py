"""Pages from the templates: each is one file that needs nothing beside it and runs no script."""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

_THOUSAND = 1000
_END = "<!-- end -->"

_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    # Names, errors and details come from the target, which may be anybody's.
    autoescape=select_autoescape(disabled_extensions=["md", "txt"], default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def number(value: float) -> str:
    """Return a number with three significant digits, or with commas from 1,000 on."""
    return f"{value:,.0f}" if abs(value) >= _THOUSAND else f"{value:.3g}"


def inline(text: str) -> Markup:
    """Return text of our Markdown as HTML: code, emphasis and addresses."""
    # A macro of Markdown comes as markup, and has escaped nothing.
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(str(text))))
    text = re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text)
    text = re.sub(r"(https://[^\s<]+?)(?=[.,]?(?:\s|$))", r'<a href="\1">\1</a>', text)
    return Markup(text)  # noqa: S704 (escaped above)


_PAGES.filters.update(number=number, inline=inline)


def rendered(template: str, **values: Any) -> Markup:
    """Return a template with its values, which it has escaped unless it is text."""
    return Markup(_PAGES.get_template(template).render(values))  # noqa: S704 (see above)


def write(path: Path, template: str, **values: Any) -> Path:
    """Write a template with its values into a file, and return the file."""
    path.write_text(f"{rendered(template, **values)}\n", encoding="utf-8")
    return path


def insert(document: Path, begin: str, text: str) -> None:
    """Replace what is between the mark `begin` and the next end of a part, in a page of docs/."""
    before, _, rest = document.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(_END)
    document.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{_END}{after}", encoding="utf-8")
