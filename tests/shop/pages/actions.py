"""What the tests of pages do again and again."""

from tests.shop.expect import FIREFOX
from tests.shop.page import Page
from tests.support.http.wire import Answer
from tests.support.shop.client import ShopClient


def log_in(client: ShopClient, name: str = "ada", word: str = "", **fields: str) -> Answer:
    """Send the form, by default with the name as the password."""
    form = {"username": name, "password": word or name, **fields}
    return client.submit("/login", form, Accept="text/html", User_Agent=FIREFOX)


def order(client: ShopClient) -> Answer:
    """Press the button of the page of the cart as it is now."""
    return Page(client.get("/cart")).submit(client, "/checkout")
