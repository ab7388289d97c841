"""The pages work with forms alone, on any worker."""

from tests.shop.expect import assert_problem
from tests.shop.page import Page
from tests.support.shop.client import ShopClient


def test_answer_pages(client: ShopClient) -> None:
    """Forms lead from the shelf to a user's order and out again; another site's form does not."""
    assert_problem(client.submit("/cart/add", {"sku": "tea"}, Origin="null"), 403)
    answer = Page(client.get("/")).submit(client, "/cart/add", sku="tea")
    assert (answer.status, answer.headers["Location"]) == (303, "/#tea")
    login = Page(client.get("/login?next=/cart"))
    refused = login.submit(client, "/login", username="grace", password="hopper")
    assert (refused.status, refused.media_type) == (401, "text/html")
    answer = login.submit(client, "/login", username="grace", password="grace")
    assert (answer.status, answer.headers["Location"]) == (303, "/cart")
    cart = Page(client.get("/cart"))
    answers = [cart.submit(client, "/checkout") for _ in range(4)]
    assert {answer.status for answer in answers} == {303}
    (order,) = {answer.headers["Location"] for answer in answers}
    for _ in range(4):
        assert "Sticky-rice tea" in Page(client.get(order)).words
        assert "Nothing has stuck yet." in Page(client.get("/cart")).words
    account = Page(client.get("/account"))
    assert "this one" in account.words
    assert account.submit(client, "/logout").headers["Location"] == "/login?logged_out=1"
    assert client.get("/account").headers["Location"] == "/login?next=/account"
