"""The pages: forms, redirects and what they say, without a line of JavaScript."""

import pytest
from flask.testing import FlaskClient
from shop.catalog import BY_SKU, PRODUCTS

from tests.shop.expect import expect_no_session, expect_problem, quantities
from tests.shop.pages.page import Page

_PAGES = ("/", "/cart", "/orders", "/login", "/none")


def test_shelf(browser: FlaskClient) -> None:
    """The shelf shows every product with its price and a form that adds it, without a session."""
    response = browser.get("/")
    assert (response.status_code, response.mimetype) == (200, "text/html")
    page = Page(response)
    for product in PRODUCTS:
        assert product.name in page.words
        assert f"€{product.price_cents // 100}.{product.price_cents % 100:02}" in page.words
    adding = [form for form in page.every("form") if form["action"] == "/cart/add"]
    assert len(adding) == len(PRODUCTS)
    expect_no_session(response)


def test_cart_empty(browser: FlaskClient) -> None:
    """The empty cart says so, without a session."""
    response = browser.get("/cart")
    assert response.status_code == 200
    assert "Nothing has stuck yet" in response.text
    expect_no_session(response)


def test_add(browser: FlaskClient) -> None:
    """Adding redirects to the shelf, which says once what was added and counts the cart."""
    response = browser.post("/cart/add", data={"sku": "tea", "qty": "2"})
    assert (response.status_code, response.headers["Location"]) == (303, "/#tea")
    said = f"{BY_SKU['tea'].name} is in the cart, 2 of it."
    page = Page(browser.get("/"))
    assert said in page.words
    assert "Cart 2 in it" in page.words
    assert said not in Page(browser.get("/")).words
    assert quantities(browser.get("/api/cart")) == {"tea": 2}


def test_add_one(browser: FlaskClient) -> None:
    """A form without a quantity adds one; multipart forms are forms, too."""
    browser.post("/cart/add", data={"sku": "tea"})
    browser.post("/cart/add", data={"sku": "tea"}, content_type="multipart/form-data")
    assert quantities(browser.get("/api/cart")) == {"tea": 2}


def test_cart(browser: FlaskClient) -> None:
    """The cart shows each line with its quantity and sum, and the total."""
    browser.put("/api/cart/items/honey", json={"qty": 3})
    browser.put("/api/cart/items/tea", json={"qty": 99})
    page = Page(browser.get("/cart"))
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
    browser: FlaskClient, path: str, form: dict[str, str], left: dict[str, int]
) -> None:
    """Setting, removing and emptying redirect to the cart, which is changed."""
    browser.post("/cart/add", data={"sku": "tea", "qty": "2"})
    browser.post("/cart/add", data={"sku": "honey"})
    response = browser.post(path, data=form)
    assert (response.status_code, response.headers["Location"]) == (303, "/cart")
    assert quantities(browser.get("/api/cart")) == left


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
    browser: FlaskClient, path: str, form: dict[str, str], status: int, accept: str
) -> None:
    """A wrong form has the status that the API gives, as a page or as a document, no session."""
    response = browser.post(path, data=form, headers={"Accept": accept}, content_type=_FORM)
    if accept == "text/html":
        assert (response.status_code, response.mimetype) == (status, "text/html")
        assert [tag for tag in Page(response).every("div") if tag.get("role") == "alert"]
    else:
        expect_problem(response, status)
    expect_no_session(response)


_FORM = "application/x-www-form-urlencoded"


def test_add_past_limit(browser: FlaskClient) -> None:
    """Adding past 99 is a 409 page that says so, and the line stays."""
    browser.post("/cart/add", data={"sku": "tea", "qty": "99"})
    response = browser.post("/cart/add", data={"sku": "tea"}, headers={"Accept": "text/html"})
    assert response.status_code == 409
    assert "at most 99" in response.text
    assert quantities(browser.get("/api/cart")) == {"tea": 99}


def test_json_is_refused_by_forms(browser: FlaskClient) -> None:
    """A page's call takes forms: JSON is a 415 that says so."""
    response = browser.post("/cart/add", json={"sku": "tea"})
    expect_problem(response, 415)
    assert _FORM in response.headers["Accept"]


def test_pages_need_no_script(browser: FlaskClient) -> None:
    """Pages have no script, no inline style, and nothing that is not on this server."""
    browser.post("/cart/add", data={"sku": "tea"})
    for path in _PAGES:
        page = Page(browser.get(path, headers={"Accept": "text/html"}))
        assert not page.every("script")
        assert not page.every("style")
        linked = [a.get("href") or a.get("src") for tag in ("link", "img") for a in page.every(tag)]
        assert linked
        for attributes in (attributes for _, attributes in page.tags):
            assert not [name for name in attributes if name == "style" or name.startswith("on")]
        for url in linked:
            assert str(url).startswith("/static/")
            with browser.get(str(url)) as response:
                assert response.status_code == 200


def test_fields_have_labels(browser: FlaskClient) -> None:
    """Each visible field has a label, each page one main heading and a language."""
    browser.post("/cart/add", data={"sku": "tea"})
    for path in _PAGES:
        page = Page(browser.get(path, headers={"Accept": "text/html"}))
        fields = [
            f["id"] for f in page.every("input") if f.get("type") != "hidden" and "hidden" not in f
        ]
        labels = [label["for"] for label in page.every("label")]
        assert fields == labels
        assert len(page.every("h1")) == 1
        assert page.every("html") == [{"lang": "en"}]
        assert not [image for image in page.every("img") if "alt" not in image]


def test_page_names_its_worker(browser: FlaskClient) -> None:
    """A page says which worker made it, and for which request."""
    response = browser.get("/")
    assert response.headers["X-Served-By"] in response.text
    assert response.headers["X-Request-ID"] in response.text


def test_pages_of_session_are_private(browser: FlaskClient) -> None:
    """Shared caches may not keep a page that depends on a session."""
    browser.post("/cart/add", data={"sku": "tea"})
    for path in ("/", "/cart"):
        control = browser.get(path).headers["Cache-Control"]
        assert "private" in control or "no-store" in control
