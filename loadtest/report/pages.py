"""Pages from the templates: each is one file that needs nothing beside it and runs no script."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from loadtest.report.charts import number

_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    # Names, errors and details come from the target, which may be anybody's.
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_PAGES.filters["number"] = number


def write(path: Path, template: str, **values: Any) -> Path:
    """Write a template with its values into a file, and return the file."""
    text = _PAGES.get_template(template).render(values)
    path.write_text(f"{text}\n", encoding="utf-8")
    return path
