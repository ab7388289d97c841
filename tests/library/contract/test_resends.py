"""The same operation sent again: applied once, answered twice."""

import pytest
from unsticky import session
from unsticky.testing.contract import resends

from tests.support.browsers import Browser, make_site
from tests.support.stores.places import AtServer, Place, make
from tests.support.stores.proof import collected_from

globals().update(collected_from(resends))


def test_results_are_kept_for_ten_seconds_beside_their_session(server_place: AtServer) -> None:
    """A result is in the slot of its session, and is kept only while a resend may come."""
    store = server_place.new_store()
    where = make(store)
    raw = server_place.server.raw
    (key,) = raw.scan_iter(f"{server_place.prefix}{{{where.bucket}}}:o:*", count=10_000)
    assert 5_000 < raw.pttl(key) <= 10_000


@pytest.mark.parametrize("end", ["destroy", "rotate"])
def test_a_request_that_comes_again_after_the_end_begins_no_session(place: Place, end: str) -> None:
    """Its worker was killed after it added, and a proxy sent it again: it is not added twice."""
    site = make_site(place, UNSTICKY_REQUEST_ID_HEADER="X-Request-ID")

    @site.app.post("/")
    def add() -> str:
        return str(session.map("cart").incr("pear"))

    browser = site.browser(keep=1)
    old = Browser(site.app, browser.cookie)
    request = {"X-Request-ID": "one"}
    assert old.client().post("/", headers=request).text == "1"
    with browser.visit() as held:
        getattr(held, end)()
    again = old.client().post("/", headers=request)
    assert again.status_code == 503
    assert again.json
    assert again.json["code"] == "outcome-unknown"
    assert "Set-Cookie" not in again.headers
