"""The pages work with forms alone, on any worker."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

from tests.shop.http.conftest import assert_problem
from tests.support.http.wire import Answer
from tests.support.shop.client import ShopClient


@dataclass
class Form:
    """A form of a page."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)

    def submit(self, client: ShopClient, **changes: str) -> Answer:
        """Send the form as a browser does."""
        fields = {**self.fields, **changes}
        return client.submit(self.action, fields, Sec_Fetch_Site="same-origin", Accept="text/html")


class Page(HTMLParser):
    """What a browser without scripts finds at an address."""

    def __init__(self, client: ShopClient, path: str) -> None:
        super().__init__()
        answer = client.get(path)
        assert answer.status == 200, answer.text
        assert answer.headers["Content-Type"].startswith("text/html")
        self.forms: list[Form] = []
        self.text = ""
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note forms and their fields."""
        assert tag != "script"
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given["action"]))
        elif tag in {"input", "button"} and given.get("name"):
            self.forms[-1].fields[given["name"]] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        """Note the text."""
        self.text += data

    def form(self, action: str, **fields: str) -> Form:
        """Return the first form of this action that has these values."""
        return next(
            form
            for form in self.forms
            if form.action == action and fields.items() <= form.fields.items()
        )


def test_answer_pages(client: ShopClient) -> None:
    """Forms lead from the shelf to a user's order and out again; another site's form does not."""
    add = Page(client, "/").form("/cart/add", sku="tea")
    assert_problem(client.submit(add.action, add.fields, Origin="null"), 403)
    answer = add.submit(client)
    assert (answer.status, answer.headers["Location"]) == (303, "/#tea")
    sign_in = Page(client, "/login?next=/cart").form("/login", next="/cart")
    refused = sign_in.submit(client, username="grace", password="hopper")
    assert refused.status == 401
    assert refused.headers["Content-Type"].startswith("text/html")
    answer = sign_in.submit(client, username="grace", password="grace")
    assert (answer.status, answer.headers["Location"]) == (303, "/cart")
    button = Page(client, "/cart").form("/checkout")
    answers = [button.submit(client) for _ in range(4)]
    assert {answer.status for answer in answers} == {303}
    (order,) = {answer.headers["Location"] for answer in answers}
    for _ in range(4):
        assert "Sticky-rice tea" in Page(client, order).text
        assert "Nothing has stuck yet." in Page(client, "/cart").text
    account = Page(client, "/account")
    assert "this one" in account.text
    assert account.form("/logout").submit(client).headers["Location"] == "/login?signed_out=1"
    assert client.get("/account").headers["Location"] == "/login?next=/account"
