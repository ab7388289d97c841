"""The shop at two kinds of places; tests/shop/containers runs the same tests at a third."""

from collections.abc import Iterator

import pytest

from tests.shop.conftest import NewShop
from tests.shop.http.places import Place, in_process, of_stack
from tests.support.shop.client import ShopClient
from tests.support.stores.servers import Server


@pytest.fixture(name="place", params=["in process", "through nginx"])
def _place(request: pytest.FixtureRequest) -> Place:
    """The shop in this process, and behind nginx on four workers."""
    if request.param == "through nginx":
        return of_stack(request.getfixturevalue("stack"), store=True)
    new_shop: NewShop = request.getfixturevalue("new_shop")
    server: Server = request.getfixturevalue("server")
    return in_process(new_shop(demo=True, served_by=True), server)


@pytest.fixture(name="client")
def _client(place: Place) -> ShopClient:
    """A visitor without a cookie."""
    return place.visit()


@pytest.fixture(name="customer", params=["guest", "user"])
def _customer(request: pytest.FixtureRequest, client: ShopClient) -> ShopClient:
    """A guest with a session, and a user."""
    if request.param == "user":
        return client.logged_in("grace")
    client.session()
    return client


@pytest.fixture(name="no_new_session")
def _no_new_session(place: Place) -> Iterator[None]:
    """Assert that the test leaves no new session in the store."""
    before = place.sessions()
    yield
    assert place.sessions() <= before
