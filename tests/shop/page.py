"""What of a page matters to tests."""

import re
from html.parser import HTMLParser

from tests.support.http.wire import Answer
from tests.support.shop.client import ShopClient

Attributes = dict[str, str | None]


class Page(HTMLParser):
    """A page, as a browser without scripts finds it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        assert answer.media_type == "text/html"
        self.tags: list[tuple[str, Attributes]] = []
        self.words = ""
        self.forms: list[dict[str, str]] = []
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element, and the fields of forms."""
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "form":
            self.forms.append({"action": given["action"] or ""})
        elif tag in {"input", "button"} and given.get("name"):
            self.forms[-1][given["name"] or ""] = given.get("value") or ""

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.words = re.sub(r"\s+", " ", f"{self.words} {data}")

    def every(self, tag: str) -> list[Attributes]:
        """Return the attributes of every element of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    def fields(self) -> list[str | None]:
        """Return the ids of the fields that somebody sees."""
        return [
            field["id"]
            for field in self.every("input")
            if field.get("type") != "hidden" and "hidden" not in field
        ]

    def field(self, name: str) -> Attributes:
        """Return the attributes of the one input of that name."""
        (found,) = (field for field in self.every("input") if field.get("name") == name)
        return found

    def described(self, name: str) -> list[str]:
        """Return the ids of what describes a field; each is in the page."""
        ids = {attributes.get("id") for _, attributes in self.tags}
        named = (self.field(name).get("aria-describedby") or "").split()
        assert ids.issuperset(named)
        return named

    def submit(self, client: ShopClient, action: str, **changes: str) -> Answer:
        """Send the first form of an action, with these fields changed, as a browser does."""
        form = next(form for form in self.forms if form["action"] == action)
        fields = {**form, **changes}
        del fields["action"]
        return client.submit(action, fields, Sec_Fetch_Site="same-origin", Accept="text/html")
