"""The pages work with forms alone, through nginx, on any worker."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode

from tests.support.shop_client import ShopClient
from tests.support.stack import Stack
from tests.support.wire import Answer


@dataclass
class Form:
    """A form of a page."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """What a browser without scripts finds in a page."""

    def __init__(self, answer: Answer) -> None:
        """Read the page.

        Raises:
            AssertionError: it is no page.
        """
        super().__init__()
        assert answer.status == 200
        assert answer.media_type == "text/html"
        self.forms: list[Form] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(answer.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note forms and their fields."""
        self.tags.append(tag)
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get").lower()))
        elif tag in {"input", "button", "select"} and given.get("name") and self.forms:
            self.forms[-1].fields[given["name"]] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        """Note the text."""
        self.text += data

    def form(self, **fields: str) -> Form:
        """Return the first form that has these values."""
        return next(f for f in self.forms if fields.items() <= f.fields.items())


def _submit(browser: ShopClient, form: Form, **changes: str) -> Answer:
    body = urlencode({**form.fields, **changes}).encode()
    return browser.ask(
        form.method.upper(),
        form.action,
        body,
        {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"},
    )


def test_the_shop_without_scripts(stack: Stack) -> None:
    """A visitor without JavaScript fills the cart by a form, and sees it on another worker too."""
    with stack.browser() as browser:
        first = Page(browser.ask("GET", "/"))
        assert "script" not in first.tags
        answer = _submit(browser, first.form(sku="tea"))
        assert answer.status == 303
        assert answer.headers["Location"].startswith("/")
        assert browser.cart() == {"tea": 1}
        for _ in range(4):
            page = Page(browser.ask("GET", "/cart"))
            assert "script" not in page.tags
            assert "Sticky-rice tea" in page.text


def test_an_account_without_scripts(stack: Stack) -> None:
    """The forms alone lead from a guest's cart to a user's order and out again, on any worker."""
    who = {"username": "grace", "password": "grace"}
    with stack.browser() as browser:
        browser.add("tea", 2)
        form = Page(browser.ask("GET", "/login?next=/cart")).form(next="/cart")
        refused = _submit(browser, form, **{**who, "password": "hopper"})
        assert (refused.status, refused.media_type) == (401, "text/html")
        answer = _submit(browser, form, **who)
        assert (answer.status, answer.headers["Location"]) == (303, "/cart")
        page = Page(browser.ask("GET", "/cart"))
        button = next(form for form in page.forms if form.action == "/checkout")
        answers = [_submit(browser, button) for _ in range(4)]
        (order,) = {answer.headers["Location"] for answer in answers}
        assert {answer.status for answer in answers} == {303}
        for _ in range(4):
            assert "Sticky-rice tea" in Page(browser.ask("GET", order)).text
            assert "Nothing has stuck yet." in Page(browser.ask("GET", "/cart")).text
        page = Page(browser.ask("GET", "/account"))
        assert "this one" in page.text
        out = next(form for form in page.forms if form.action == "/logout")
        assert _submit(browser, out).headers["Location"] == "/login?signed_out=1"
        assert browser.ask("GET", "/account").headers["Location"] == "/login?next=/account"


def test_a_form_of_another_site(stack: Stack) -> None:
    """The same form sent by another site's page changes nothing."""
    with stack.browser() as browser:
        form = Page(browser.ask("GET", "/")).form(sku="tea")
        answer = browser.ask(
            "POST",
            form.action,
            urlencode(form.fields).encode(),
            {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "cross-site"},
        )
        assert answer.status == 403
        assert browser.cart() == {}
