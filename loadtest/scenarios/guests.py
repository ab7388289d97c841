"""Users of the shop who do not log in."""

import random

from loadtest import Expectation, Failure, together
from loadtest.scenarios.shop import CART, ShopJourney

_TAB_ADDS = 4


class AnonymousBrowser(ShopJourney):
    """Looks at the catalog and at an empty cart, which must not make a session."""

    weight = 8
    needs = frozenset({"products", "cart"})

    def visit(self) -> None:
        """Look around."""
        self.cart = Expectation()
        for _ in range(2):
            self.products()
            self.think()
            self.read()
            self.think()
        self.check(
            self.browser.session_cookie() is None,
            Failure.WRONG_ANSWER,
            "looking around made a session",
        )


class Shopper(ShopJourney):
    """Fills a cart, changes it, and comes back to it."""

    weight = 10
    needs = CART

    def visit(self) -> None:
        """Shop."""
        self.enter()
        skus = self.products()
        for _ in range(4):
            self.think()
            self.add(random.choice(skus), random.randint(1, 3))
            self.read()
        self.think()
        self.set(skus[0], 7)
        self.set(skus[1], 2)
        self.think()
        self.read()
        self.set(skus[0], 0)
        self.read()
        self.look()


class TwoTabs(ShopJourney):
    """Has two tabs open, which both add at the same moment."""

    weight = 6
    needs = CART

    def visit(self) -> None:
        """Add in both tabs at once; then nothing may be missing."""
        self.enter()
        skus = self.products()
        shared = random.choice(skus)

        def tab(own: str) -> None:
            for _ in range(_TAB_ADDS):
                self.add(shared)
                self.add(own)

        together(lambda: tab(skus[0]), lambda: tab(skus[1]))
        self.read()
        self.look()


class Bot(ShopJourney):
    """Comes without a cookie jar, again and again: it must not fill the store."""

    weight = 2
    needs = frozenset({"products", "cart"})

    def visit(self) -> None:
        """Crawl."""
        for path in ("/api/products", "/api/cart", "/api/products", "/api/cart"):
            answer = self.get(path)
            self.browser.forget()
            self.check(
                not answer.set_cookies,
                Failure.WRONG_ANSWER,
                f"a bot got {answer.set_cookies}",
            )
            self.think()
