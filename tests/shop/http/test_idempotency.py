"""Idempotency-Key: replay, another request, in flight, malformed."""

from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex

import pytest

from tests.shop.expect import assert_problem
from tests.support.shop.client import ShopClient, in_flight


@pytest.fixture(name="key")
def _key() -> str:
    """A new key."""
    return token_hex(16)


def test_key_replay(customer: ShopClient, key: str) -> None:
    """The stored answer is replayed though the cart is another by then; nothing is added."""
    first = customer.add("tea", 2, key=key)
    assert "Idempotency-Replayed" not in first.headers
    customer.fill(jam=1)
    for _ in range(6):
        again = customer.add("tea", 2, key=key)
        assert (again.status, again.body) == (200, first.body)
        assert again.headers["Content-Type"] == "application/json"
        assert again.headers["Idempotency-Replayed"] == "true"
        assert "Set-Cookie" not in again.headers
        assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert customer.cart() == {"tea": 2, "jam": 1}


def test_key_replay_checkout(customer: ShopClient, key: str) -> None:
    """The order is replayed, also if the cart was filled again; another key orders that."""
    customer.fill(tea=1)
    first = customer.check_out(key=key)
    customer.fill(jam=1)
    again = customer.check_out(key=key)
    assert (first.status, again.status, again.json()) == (201, 201, first.json())
    assert customer.orders()[0] == first.json()
    assert customer.check_out(key=token_hex(16)).status == 201
    assert customer.ordered()[:2] == [{"jam": 1}, {"tea": 1}]


def test_key_replay_refusal(customer: ShopClient, key: str) -> None:
    """A conflict is answered again with the same document; any other refusal is made again."""
    customer.fill(tea=99)
    first = customer.add("tea", key=key)
    assert_problem(first, 409)
    customer.send("DELETE", "/api/cart")
    again = customer.add("tea", key=key)
    assert (again.status, again.json()) == (409, first.json())
    assert again.headers["Content-Type"] == "application/problem+json"
    assert customer.cart() == {}
    for _ in range(2):
        wrong = customer.add("glue", key=token_hex(16))
        assert_problem(wrong, 404)
        assert "Idempotency-Replayed" not in wrong.headers


def test_key_other_body(customer: ShopClient, key: str) -> None:
    """The same key with another body is a 422, and adds nothing."""
    customer.add("tea", 2, key=key)
    assert_problem(customer.add("tea", 3, key=key), 422, "idempotency-key-reused")
    assert customer.cart() == {"tea": 2}


def test_key_in_flight(customer: ShopClient, key: str) -> None:
    """Sent many times at once it is added once; a client that must wait learns how long."""
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: customer.tab().add("tea", key=key), range(40)))
    for answer in answers:
        if in_flight(answer):
            assert 1 <= int(answer.headers["Retry-After"]) <= 5
    assert len({answer.body for answer in answers if answer.status == 200}) == 1
    last = customer.insist("POST", "/api/cart/items", {"sku": "tea", "qty": 1}, key=key)
    assert last.status == 200
    assert customer.cart() == {"tea": 1}


@pytest.mark.parametrize(
    "malformed",
    ["a b", "a,b", "a;b", 'a"b', '"a', 'a"', "a\\b", r'"a\b"', '""', '"a", "b"', '"a";b=1',
     "k" * 256, '"' + "k" * 256 + '"'],
)  # fmt: skip
def test_key_malformed(client: ShopClient, malformed: str) -> None:
    """Anything else is a 400 that shows what a key looks like, and nothing is done."""
    client.fill(jam=1)
    answer = client.add("tea", key=malformed)
    assert_problem(answer, 400, "idempotency-key-malformed")
    assert "double quotes" in answer.json()["detail"]
    assert client.cart() == {"jam": 1}


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
def test_key_spelling(client: ShopClient, one: str, other: str) -> None:
    """A key is a string in quotes, as the draft has it, or its characters without them."""
    client.session()
    assert client.add("tea", key=one).status == 200
    assert client.add("tea", key=other).headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("user", [None, "ada"])
def test_key_scope(client: ShopClient, key: str, user: str | None) -> None:
    """The same key at another path, or in another session, is another key."""
    other = client.visitor()
    for visitor in (client, other):
        if user:
            visitor.logged_in(user)
        else:
            visitor.session()
    for visitor in (client, other):
        answer = visitor.add("tea", key=key)
        assert "Idempotency-Replayed" not in answer.headers
        assert answer.json()["count"] == 1
    assert client.check_out(key=key).status == 201
    assert client.ordered()[0] == {"tea": 1}


def test_key_without_session(client: ShopClient, key: str) -> None:
    """A visitor's first request is carried out, and so is the second without a cookie."""
    first = client.add("tea", key=key)
    client.cookie = None
    second = client.add("tea", key=key)
    assert first.json()["count"] == second.json()["count"] == 1
    assert first.headers["Set-Cookie"] != second.headers["Set-Cookie"]


def test_key_ended_session(client: ShopClient, key: str) -> None:
    """The cookie of a session that ended gets no stored answer."""
    client.logged_in("ada").add("tea", key=key)
    thief = client.tab()
    client.log_out()
    assert "Idempotency-Replayed" not in thief.add("tea", key=key).headers


def test_key_of_form(client: ShopClient, key: str) -> None:
    """The button of the cart's page has its key in a hidden field: the redirect is replayed."""
    client.fill(tea=1)
    form = {"idempotency_key": key}
    first = client.submit("/checkout", form)
    client.fill(honey=1)
    again = client.submit("/checkout", form)
    part = (
        f'--x\r\nContent-Disposition: form-data; name="idempotency_key"\r\n\r\n{key}\r\n--x--\r\n'
    )
    multipart = {"Content-Type": "multipart/form-data; boundary=x"}
    parts = client.ask("POST", "/checkout", part.encode(), multipart)
    for answer in (first, again, parts):
        assert (answer.status, answer.headers["Location"]) == (303, first.headers["Location"])
    assert again.headers["Idempotency-Replayed"] == parts.headers["Idempotency-Replayed"] == "true"
    other = client.submit("/checkout", {**form, "note": "other"})
    assert_problem(other, 422, "idempotency-key-reused")
    assert_problem(client.submit("/checkout", {"idempotency_key": ""}), 400)
    assert client.cart() == {"honey": 1}
