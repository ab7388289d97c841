"""The pages: forms, redirects and what they say, without a line of JavaScript."""

import pytest
from shop.catalog import BY_SKU, PRODUCTS

from tests.shop.expect import assert_problem
from tests.shop.page import Page
from tests.support.shop.client import ShopClient

_FORM = "application/x-www-form-urlencoded"


def test_shelf(client: ShopClient) -> None:
    """The shelf shows every product with its price and a form that adds it, without a session."""
    response = client.get("/")
    assert (response.status, response.media_type) == (200, "text/html")
    page = Page(response)
    for product in PRODUCTS:
        assert product.name in page.words
        assert f"€{product.price_cents // 100}.{product.price_cents % 100:02}" in page.words
    adding = [(form["action"], form["sku"]) for form in page.forms]
    assert adding == [("/cart/add", product.sku) for product in PRODUCTS]
    assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize(
    ("path", "said"), [("/cart", "Nothing has stuck yet."), ("/orders", "You have no orders yet.")]
)
def test_nothing_yet(client: ShopClient, path: str, said: str) -> None:
    """Without a cart or an order the page says so, without a session."""
    response = client.get(path)
    assert (response.status, said in response.text) == (200, True)
    assert "Set-Cookie" not in response.headers


def test_add(client: ShopClient) -> None:
    """Adding redirects to the shelf, which says once what was added and counts the cart."""
    response = client.submit("/cart/add", {"sku": "tea", "qty": "2"})
    assert (response.status, response.headers["Location"]) == (303, "/#tea")
    said = f"{BY_SKU['tea'].name} is in the cart, 2 of it."
    page = Page(client.get("/"))
    assert said in page.words
    assert "Cart 2 in it" in page.words
    assert said not in Page(client.get("/")).words
    assert client.cart() == {"tea": 2}


def test_add_one(client: ShopClient) -> None:
    """A form without a quantity adds one; multipart forms are forms, too."""
    client.submit("/cart/add", {"sku": "tea"})
    part = b'--x\r\nContent-Disposition: form-data; name="sku"\r\n\r\ntea\r\n--x--\r\n'
    client.ask("POST", "/cart/add", part, {"Content-Type": "multipart/form-data; boundary=x"})
    assert client.cart() == {"tea": 2}


def test_cart(client: ShopClient) -> None:
    """The cart shows each line with its quantity and sum, and the total."""
    client.fill(honey=3, tea=99)
    page = Page(client.get("/cart"))
    shown = {field["id"]: field["value"] for field in page.every("input") if field.get("id")}
    assert shown == {"qty-honey": "3", "qty-tea": "99"}
    assert "€26.70" in page.words
    assert "€1,148.40" in page.words
    assert "Total of 102" in page.words
    assert "€1,175.10" in page.words


@pytest.mark.parametrize(
    ("path", "form", "left"),
    [
        ("/cart/set", {"sku": "tea", "qty": "7"}, {"honey": 1, "tea": 7}),
        ("/cart/set", {"sku": "tea", "qty": "0"}, {"honey": 1}),
        ("/cart/remove", {"sku": "tea", "qty": "2"}, {"honey": 1}),
        ("/cart/remove", {"sku": "tea", "qty": "mistyped"}, {"honey": 1}),
        ("/cart/clear", {}, {}),
    ],
)
def test_cart_changed(
    client: ShopClient, path: str, form: dict[str, str], left: dict[str, int]
) -> None:
    """Setting, removing and emptying redirect to the cart, which is changed."""
    client.fill(tea=2, honey=1)
    response = client.submit(path, form)
    assert (response.status, response.headers["Location"]) == (303, "/cart")
    assert client.cart() == left


@pytest.mark.parametrize(
    ("path", "form", "status"),
    [
        ("/cart/add", {"sku": "tea", "qty": "0"}, 422),
        ("/cart/add", {"sku": "tea", "qty": "100"}, 422),
        ("/cart/add", {"sku": "tea", "qty": "-1"}, 422),
        ("/cart/add", {"sku": "tea", "qty": "1.5"}, 422),
        ("/cart/add", {"sku": "tea", "qty": ""}, 422),
        ("/cart/add", {"sku": "tea", "qty": "٣"}, 422),
        ("/cart/add", {"qty": "1"}, 422),
        ("/cart/add", {"sku": "glue"}, 404),
        ("/cart/set", {"sku": "tea"}, 422),
        ("/cart/set", {"sku": "glue", "qty": "1"}, 404),
        ("/cart/remove", {}, 422),
        ("/cart/remove", {"sku": "glue"}, 404),
    ],
)
@pytest.mark.parametrize("accept", ["text/html", "*/*"])
def test_form_refused(
    client: ShopClient, path: str, form: dict[str, str], status: int, accept: str
) -> None:
    """A wrong form has the status that the API gives, as a page or as a document, no session."""
    response = client.submit(path, form, Accept=accept)
    if accept == "text/html":
        assert (response.status, response.media_type) == (status, "text/html")
        assert [tag for tag in Page(response).every("div") if tag.get("role") == "alert"]
    else:
        assert_problem(response, status)
    assert "Set-Cookie" not in response.headers


def test_add_past_limit(client: ShopClient) -> None:
    """Adding past 99 is a 409 page that says so, and the line stays."""
    client.fill(tea=99)
    response = client.submit("/cart/add", {"sku": "tea"}, Accept="text/html")
    assert response.status == 409
    assert "at most 99" in response.text
    assert client.cart() == {"tea": 99}


def test_json_is_refused_by_forms(client: ShopClient) -> None:
    """A page's call takes forms: JSON is a 415 that says so."""
    response = client.post("/cart/add", sku="tea")
    assert_problem(response, 415)
    assert _FORM in response.headers["Accept"]


@pytest.mark.parametrize("user", [None, "ada"])
@pytest.mark.parametrize("path", ["/", "/cart", "/orders", "/login", "/account", "/none"])
def test_page(client: ShopClient, path: str, user: str | None) -> None:
    """Each page needs no script, labels its fields, and is for this visitor's browser only."""
    if user:
        client.logged_in(user)
    client.fill(tea=1).check_out()
    answer = client.fill(tea=1).get(path, Accept="text/html")
    if answer.status == 303:
        return  # the account of a guest, the login of a user
    if path != "/login":
        assert {"private", "no-store"} & set(answer.headers["Cache-Control"].split(", "))
    page = Page(answer)
    assert page.every("html") == [{"lang": "en"}]
    assert len(page.every("h1")) == 1
    assert page.fields() == [label["for"] for label in page.every("label")]
    assert not page.every("script") + page.every("style")
    assert not [image for image in page.every("img") if "alt" not in image]
    for _, attributes in page.tags:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
    linked = [a.get("href") or a.get("src") for tag in ("link", "img") for a in page.every(tag)]
    assert linked
    for url in linked:
        assert str(url).startswith("/static/")
        assert client.get(str(url)).status == 200


def test_page_names_its_worker(client: ShopClient) -> None:
    """A page says which worker made it, and for which request."""
    response = client.get("/")
    assert response.headers["X-Served-By"] in response.text
    assert response.headers["X-Request-ID"] in response.text
