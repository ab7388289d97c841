"""The table of express-session's cookie."""

from unsticky import session

from tests.docs.express.page import Line, Lines
from tests.docs.express.site import HOUR, MakeSite, cookies_of, is_empty, send, set_value, site_at
from tests.support.browsers import cookie_of
from tests.support.stores.places import Memory

_LINES = Lines("Its cookie")


def test_every_line_is_shown() -> None:
    """No line of the tables is without a test."""
    assert _LINES.not_shown() == set()


@_LINES.shows("cookie.maxAge: 3600000")
def test_the_age_of_a_permanent_session(line: Line, place: Memory) -> None:
    """In the cookie, and in the server for each session that is not used for so long."""
    site = site_at(place, line.settings)
    permanent, other = site.app.test_client(), site.app.test_client()

    def begin() -> None:
        set_value()
        line.run()

    (cookie,) = cookies_of(site.visit(permanent, begin))
    assert "Max-Age=3600" in cookie
    site.visit(other, set_value)
    copies = [(site.app.test_client(), cookie_of(client)) for client in (permanent, other)]
    place.let_pass(HOUR + 1000)
    for client, copy in copies:
        assert site.visit(send(client, copy), is_empty).text == "True"


@_LINES.shows("cookie.maxAge: null")
def test_a_cookie_that_ends_with_the_browser(line: Line, make: MakeSite) -> None:
    """By default, and for a session that was permanent."""
    site = make({})
    client = site.app.test_client()
    (cookie,) = cookies_of(site.visit(client, set_value))
    assert "Max-Age" not in cookie
    (cookie,) = cookies_of(site.visit(client, lambda: setattr(session, "permanent", True)))
    assert "Max-Age" in cookie
    (cookie,) = cookies_of(site.visit(client, line.run))
    assert "Max-Age" not in cookie
    assert "Expires" not in cookie


@_LINES.shows(
    "cookie.httpOnly: true",
    "cookie.secure: true",
    'cookie.sameSite: "strict"',
    'cookie.domain: "example.org"',
    'cookie.path: "/shop"',
    "cookie.partitioned: true",
)
def test_the_cookies_attributes(line: Line, make: MakeSite) -> None:
    """What is set in Express is in the cookie."""
    option = line.express[0].removeprefix("cookie.").replace('"', "")
    attribute = option.removesuffix(": true").replace(": ", "=")
    site = make(line.settings)
    where = {"path": "/shop/", "base_url": "https://www.example.org"}
    (cookie,) = cookies_of(site.visit(site.app.test_client(), set_value, **where))
    assert attribute.lower() in cookie.lower().split("; ")


@_LINES.shows('cookie.secure: "auto"', "cookie.priority")
def test_what_no_cookie_has(line: Line, make: MakeSite) -> None:
    """`Secure` does not follow the connection, and there is no priority; `SameSite` is Lax."""
    assert line.settings == {}
    site = make({})
    answer = site.visit(site.app.test_client(), set_value, base_url="https://localhost")
    (cookie,) = cookies_of(answer)
    assert cookie.split("; ")[1:] == ["HttpOnly", "Path=/", "SameSite=Lax"]
