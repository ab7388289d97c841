"""The steps of every application that logs in with OAuth, whatever its provider."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from . import issuer
from .application import Application, Visit
from .browser import HOST, Answer, Broken, Browser

ROUNDS = 5


@dataclass(frozen=True)
class Login:
    """How an application logs in.

    Attributes:
        start: the path that redirects to the provider.
        home: the page that tells whether somebody is logged in.
        shows: what it says then.
        many: whether it keeps the states of several logins that were begun, as Authlib does, or
            only the last, as Flask-Dance does.
    """

    start: str
    home: str
    shows: str
    many: bool

    def begin(self, browser: Browser) -> str:
        """Click on "log in", agree at the provider; return the path of the callback."""
        location = browser.visit(self.start).location
        if urlsplit(location).netloc in {"", HOST}:
            raise Broken(f"{self.start} does not lead to the provider but to {location!r}")
        return issuer.authorize(location)

    def enter(self, browser: Browser) -> Answer:
        """Log in."""
        browser.visit(self.begin(browser))
        return self.seen(browser)

    def seen(self, browser: Browser) -> Answer:
        """Return the home page of somebody who is logged in."""
        return browser.get(self.home).needs(self.shows)

    def look_at_once(self, visit: Visit) -> None:
        """Log in, look at six pages at once."""
        browser = visit.browser()
        self.enter(browser)
        for page in browser.at_once(*[lambda: browser.get(self.home)] * 6):
            page.needs(self.shows)

    def bring_anothers_state(self, visit: Visit) -> None:
        """Bring the callback of a login that another browser began."""
        attacker, victim = visit.browser(), visit.browser()
        victim.get(self.begin(attacker), refused=True)
        if self.shows in victim.get(self.home).text:
            raise Broken("a state that this browser did not begin with logs it in")

    def use_two_tabs(self, visit: Visit) -> None:
        """Begin in two tabs, one after the other, and finish both."""
        browser = visit.browser()
        browser.get(self.home)
        paths = [self.begin(browser), self.begin(browser)]
        for path in paths if self.many else paths[1:]:
            browser.visit(path)
        self.seen(browser)

    def use_two_tabs_at_once(self, visit: Visit) -> None:
        """Begin in two tabs at once, and finish both at once."""
        browser = visit.browser()
        self.enter(browser)
        pages = browser.at_once(*[lambda: browser.visit(self.start)] * 2)
        before = issuer.redemptions(visit.issuer)
        callbacks = [issuer.authorize(page.location) for page in pages]
        browser.at_once(
            *[lambda path=path: browser.get(path, refused=not self.many) for path in callbacks]
        )
        if self.many:
            _redeemed(visit, before, 2)
        self.seen(browser)

    def finish_amid_pages(self, visit: Visit) -> None:
        """Finish while three pages load."""
        browser = visit.browser()
        path = self.begin(browser)
        before = issuer.redemptions(visit.issuer)
        pages: list[Callable[[], Answer]] = [lambda: browser.get(self.home)] * 3
        browser.at_once(lambda: browser.get(path), *pages)
        _redeemed(visit, before, 1)
        self.seen(browser)

    def reload(self, visit: Visit) -> None:
        """Load the callback a second time, which the application refuses in its way."""
        browser = visit.browser()
        path = self.begin(browser)
        browser.visit(path)
        browser.get(path, refused=True)
        self.seen(browser)


def add_steps(application: Application, login: Login) -> None:
    """Add what holds for every OAuth login."""
    application.steps.update(
        {
            "log in, look at six pages at once": login.look_at_once,
            "a callback with another's state is refused": login.bring_anothers_state,
            "two tabs log in, one after the other": login.use_two_tabs,
            "two tabs log in at once": _repeated(login.use_two_tabs_at_once),
            "the page loads while the callback comes in": _repeated(login.finish_amid_pages),
            "the callback is reloaded: the login stays": login.reload,
        }
    )


def _repeated(step: Callable[[Visit], None]) -> Callable[[Visit], None]:
    def repeat(visit: Visit) -> None:
        for _ in range(ROUNDS):
            step(visit)

    return repeat


def _redeemed(visit: Visit, before: tuple[int, int], count: int) -> None:
    now = issuer.redemptions(visit.issuer)
    redeemed, again = now[0] - before[0], now[1] - before[1]
    if (redeemed, again) != (count, 0):
        raise Broken(f"{redeemed} of {count} codes redeemed, {again} tried a second time")
