"""Users who log in: their cart comes along, and a logout is final."""

import random

from loadtest import Failure, together
from loadtest.scenarios.shop import CART, ShopJourney

_LIMITED = 429
_ENDED = (200, 401, 403, 409)
"""The answers to a request of an ended session: as for a stranger, or a refusal."""


class Member(ShopJourney):
    """Fills a cart as a guest, finds it unchanged after the login, and logs out for good."""

    # Seldom: hashing a password costs as much as a hundred other requests.
    weight = 1
    needs = CART | {"accounts"}

    def visit(self) -> None:
        """Fill a cart, log in, go on, log out."""
        self.enter()
        skus = self.products()
        self.add(skus[0], random.randint(1, 3))
        self.add(skus[1])
        guest = self.handle
        name, password = random.choice(self.plan.accounts)
        if not self._log_in(name, password):
            return
        self.read()
        shown = self.get("/api/session").json()
        self.check(
            shown["user"] == name, Failure.LOST_SESSION, f"logged in as {name}: {shown['user']}"
        )
        self.check(shown["handle"] != guest, Failure.WRONG_ANSWER, "the login kept the id")
        self.think()
        self.add(skus[2])
        self.read()
        self._log_out(skus[3])

    def _log_in(self, name: str, password: str) -> bool:
        """Log in; too many logins, which the shop may refuse, end the visit."""
        before = self.browser.session_cookie()
        answer = self.post(
            "/api/login",
            json={"username": name, "password": password},
            expect=(200, _LIMITED),
            rotates=True,
        )
        if answer.status == _LIMITED:
            return False
        self.check(
            self.browser.session_cookie() not in {None, before},
            Failure.LOST_SESSION,
            "the login brought no cookie of a new session",
            answer,
        )
        return True

    def _log_out(self, sku: str) -> None:
        """Log out while another tab adds; after that, the old cookie must not work."""
        old = self.browser.cookie_header()

        def add() -> None:
            self.post("/api/cart/items", json={"sku": sku, "qty": 1}, expect=_ENDED, rotates=True)

        def log_out() -> None:
            self.post("/api/logout", expect=(204,), rotates=True)

        together(log_out, add)
        self.browser.forget()
        answer = self.get("/api/session", headers=old, expect=_ENDED, rotates=True)
        if answer.status == 200:
            user = answer.json()["user"]
            self.check(
                user is None, Failure.REVIVED_SESSION, f"{user} logged out, and the cookie works"
            )
