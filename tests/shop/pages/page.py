"""What of a page matters to tests."""

import re
from html.parser import HTMLParser

from werkzeug.test import TestResponse


class Page(HTMLParser):
    """A page, as a browser without scripts finds it.

    Args:
        response: The answer that holds it.
    """

    def __init__(self, response: TestResponse) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(response.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.words = re.sub(r"\s+", " ", f"{self.words} {data}")

    def every(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every element of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    def fields(self) -> list[str | None]:
        """Return the ids of the fields that somebody sees."""
        return [
            field["id"]
            for field in self.every("input")
            if field.get("type") != "hidden" and "hidden" not in field
        ]

    def field(self, name: str) -> dict[str, str | None]:
        """Return the attributes of the one input of that name."""
        (found,) = (field for field in self.every("input") if field.get("name") == name)
        return found

    def described(self, name: str) -> list[str]:
        """Return the ids of what describes a field; each is in the page."""
        ids = {attributes.get("id") for _, attributes in self.tags}
        named = (self.field(name).get("aria-describedby") or "").split()
        assert ids.issuperset(named)
        return named
