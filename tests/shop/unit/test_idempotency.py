"""Idempotency-Key, line by line: replay, another request, in flight, malformed."""

import pytest
from flask import Flask, abort, redirect
from flask.testing import FlaskClient
from shop import idempotency
from shop.current import current_session
from shop.records.answers import LEASE_MS
from unsticky import StoreUnavailable
from werkzeug import Response

from tests.shop.unit.customers import Customer
from tests.shop.expect import expect_problem, quantities


@pytest.fixture(name="customer", params=["guest", "user"])
def _customer(request: pytest.FixtureRequest, shop: Flask) -> Customer:
    """A guest, and a user, on each store."""
    return Customer(shop, "ada" if request.param == "user" else None)


def test_the_same_request_again_is_answered_the_same(customer: Customer) -> None:
    """The stored answer is replayed, though the cart is another by then, and nothing is added."""
    first = customer.add("tea", 2, key="k1")
    assert "Idempotency-Replayed" not in first.headers
    customer.add("jam")
    again = customer.add("tea", 2, key="k1")
    assert (again.status_code, again.json) == (first.status_code, first.json)
    assert again.mimetype == "application/json"
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Set-Cookie" not in again.headers
    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert customer.cart() == {"tea": 2, "jam": 1}


def test_a_checkout_again_is_the_same_order(customer: Customer) -> None:
    """The order is replayed, also when the cart was filled again; another key orders that."""
    customer.add("tea")
    first = customer.check_out(key="k1")
    customer.add("jam")
    again = customer.check_out(key="k1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json == first.json
    assert customer.ordered() == [{"tea": 1}]
    assert customer.check_out(key="k2").status_code == 201
    assert customer.ordered() == [{"jam": 1}, {"tea": 1}]


def test_refusals_are_replayed_too(customer: Customer) -> None:
    """What was refused once is refused again, with the same document."""
    customer.add("tea", 99)
    first = customer.add("tea", 1, key="k1")
    expect_problem(first, 409)
    customer.tab().delete("/api/cart")
    again = customer.add("tea", 1, key="k1")
    assert (again.status_code, again.json) == (409, first.json)
    assert again.mimetype == "application/problem+json"
    assert customer.cart() == {}


def test_another_request_with_the_key_is_refused(customer: Customer) -> None:
    """The same key with another body is a 422, and adds nothing."""
    customer.add("tea", 2, key="k1")
    problem = expect_problem(customer.add("tea", 3, key="k1"), 422)
    assert problem["code"] == "idempotency-key-reused"
    assert customer.cart() == {"tea": 2}


def test_a_key_is_one_for_its_call(customer: Customer) -> None:
    """The same key at another path is another key."""
    customer.add("tea", 2, key="k1")
    assert customer.check_out(key="k1").status_code == 201
    assert customer.ordered() == [{"tea": 2}]


def test_a_key_is_one_for_its_session(shop: Flask) -> None:
    """Another session's key of the same name, also of the same user, has nothing to do with it."""
    for user in (None, "ada"):
        one, other = Customer(shop, user), Customer(shop, user)
        one.tab().delete("/api/cart")
        one.add("tea", key="k1")
        answer = other.add("tea", key="k1")
        assert "Idempotency-Replayed" not in answer.headers
        assert quantities(answer) == ({"tea": 1} if user is None else {"tea": 2})


def test_without_a_session_nothing_is_replayed(browser: FlaskClient) -> None:
    """A visitor's first request is carried out, and so is the second one without a cookie."""
    headers = {"Idempotency-Key": "k1"}
    first = browser.post("/api/cart/items", json={"sku": "tea"}, headers=headers)
    browser.delete_cookie("sid")
    second = browser.post("/api/cart/items", json={"sku": "tea"}, headers=headers)
    assert quantities(first) == quantities(second) == {"tea": 1}
    assert first.headers["Set-Cookie"] != second.headers["Set-Cookie"]


def test_the_answer_of_a_dead_session_is_not_replayed(shop: Flask) -> None:
    """Once the session was ended its cookie gets no stored answer."""
    customer = Customer(shop)
    customer.add("tea", key="k1")
    tab = customer.tab()
    with customer.client.session_transaction() as session:
        session.clear()
    answer = tab.post(
        "/api/cart/items", json={"sku": "tea", "qty": 1}, headers={"Idempotency-Key": "k1"}
    )
    assert "Idempotency-Replayed" not in answer.headers


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("8e03978e-40d5-43e8-bc93-6894a57f9324", '"8e03978e-40d5-43e8-bc93-6894a57f9324"'),
        (r'"a\"b\\c"', r'"a\"b\\c"'),
        ("~!#$%&'()*+-./:<=>?@[]^_`{|}", '"~!#$%&\'()*+-./:<=>?@[]^_`{|}"'),
        ("k" * 255, '"' + "k" * 255 + '"'),
        ('"with, a space; and more"', '"with, a space; and more"'),
    ],
)
def test_keys(shop: Flask, one: str, other: str) -> None:
    """A key is a string in quotes, as the draft has it, or its characters without them."""
    customer = Customer(shop)
    assert customer.add("tea", key=one).status_code == 200
    assert customer.add("tea", key=other).headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    "key",
    ["", '""', "a b", "a,b", "a;b", 'a"b', '"a', 'a"', "a\\b", r'"a\b"', "k" * 256, "\x7f", "sü",
     '"a", "b"', '"a";b=1', '"' + "k" * 256 + '"', "\t"],
)  # fmt: skip
def test_malformed_keys(customer: Customer, key: str) -> None:
    """Anything else is a 400 that shows what a key looks like, and nothing is done."""
    problem = expect_problem(customer.add("tea", key=key), 400)
    assert problem["code"] == "idempotency-key-malformed"
    assert "double quotes" in problem["detail"]
    assert customer.cart() == {}


# The rest with views of the test's own, where a test can step in.


@pytest.fixture(name="calls")
def _calls(shop: Flask) -> list[str]:
    """A shop with more calls: what they do, a test puts into the list, and finds there."""
    done: list[str] = []

    @shop.post("/api/probe")
    @idempotency.idempotent
    def probe() -> tuple[str, int]:
        done.append("done")
        what = done[0]
        if what == "away":
            done[0] = "back"
            raise StoreUnavailable("it is away")
        if what == "bug":
            done[0] = "mended"
            abort(500)
        return f"{current_session().incr('probes')}", 200

    @shop.post("/form")
    @idempotency.idempotent
    def form() -> Response:
        current_session().incr("forms")
        return redirect("/thanks", 303)

    return done


def _probe(customer: Customer, key: str = "k1") -> tuple[int, str]:
    answer = customer.post("/api/probe", {}, key)
    return answer.status_code, answer.text


@pytest.mark.parametrize("what", ["away", "bug"])
def test_failures_are_not_kept(shop: Flask, calls: list[str], what: str) -> None:
    """After a 503 or a 500 the key is free at once, and the next request is carried out."""
    customer = Customer(shop)
    calls.append(what)
    assert _probe(customer)[0] in {500, 503}
    assert _probe(customer) == (200, "1")
    assert _probe(customer) == (200, "1")


def test_in_flight(shop: Flask, calls: list[str]) -> None:
    """While the first is being answered the second is a 409 that says when to come back."""
    customer = Customer(shop)
    calls.append("")
    seen = []
    inner = shop.view_functions["probe"]

    def while_running() -> str:
        seen.append(customer.post("/api/probe", {}, "k1"))
        return "outer"

    shop.view_functions["probe"] = idempotency.idempotent(while_running)
    assert _probe(customer) == (200, "outer")
    shop.view_functions["probe"] = inner
    problem = expect_problem(seen[0], 409)
    assert problem["code"] == "idempotency-key-in-flight"
    assert 1 <= int(seen[0].headers["Retry-After"]) <= LEASE_MS / 1000
    assert _probe(customer) == (200, "outer")


def test_forms_bring_their_key_in_a_field(shop: Flask, calls: list[str]) -> None:
    """The redirect is replayed; another form with that key is a 422, a malformed one a 400."""
    del calls
    customer = Customer(shop)
    key = idempotency.new_key()
    fields = {idempotency.FIELD: key, "sku": "tea"}
    first = customer.tab().post("/form", data=fields)
    again = customer.tab().post("/form", data=fields, content_type="multipart/form-data")
    twice = customer.tab().post("/form", data=fields, content_type="multipart/form-data")
    assert "Idempotency-Replayed" not in first.headers
    for answer in (first, again, twice):
        assert (answer.status_code, answer.headers["Location"]) == (303, "/thanks")
    assert again.headers["Idempotency-Replayed"] == twice.headers["Idempotency-Replayed"] == "true"
    with customer.client.session_transaction() as session:
        assert session["forms"] == 1
    assert customer.tab().post("/form", data=fields | {"sku": "jam"}).status_code == 422
    assert customer.tab().post("/form", data=fields | {idempotency.FIELD: ""}).status_code == 400
    assert idempotency.new_key() != key
