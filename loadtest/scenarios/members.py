"""Users who log in: the cart comes along, and a logout is final."""

import random

from runs.kinds import Kind
from visits import Expectation, leased, together

from scenarios.visitor import CART, ShopJourney

_LIMITED = 429
_LATE = 3
"""The place in the catalog of what is added during a logout."""
_ENDED = (200, 401, 403, 409)
"""What a request of an ended session may be answered with: as a stranger's, or with a refusal."""


class Member(ShopJourney):
    """Fills a cart as a guest, logs in, finds the cart unchanged, and logs out for good."""

    # Seldom: hashing a password costs as much as a hundred other requests.
    weight = 1
    needs = CART | {"accounts"}

    def visit(self) -> None:
        """Log in twice, with a guest's cart the second time."""
        with leased(self.plan, [name for name, _ in self.plan.accounts]) as name:
            if name is None:
                # All users are others' just now: be a guest, who looks at the catalog.
                self.products()
                self.think()
                return
            self._meet(name, dict(self.plan.accounts)[name])

    def _meet(self, name: str, password: str) -> None:
        skus = self.products()
        self.cart = Expectation()
        if not self._log_in(name, password):
            return
        self.add(skus[0], 2)
        self.add(skus[1])
        self._log_out(skus)

        self.browser.forget()
        self.enter()
        self.add(skus[0], random.randint(1, 3))
        self.add(skus[2])
        guest = self.handle
        if not self._log_in(name, password):
            return
        self.read()
        shown = self.get("/api/session").json()
        self.hold(
            shown["user"] == name, Kind.LOST_SESSION, f"logged in as {name}, {shown['user']} later"
        )
        self.hold(shown["handle"] != guest, Kind.WRONG_ANSWER, "the login kept the session's id")
        self.think()
        self._log_out(skus)

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
        self.hold(
            self.browser.session_cookie() not in {None, before},
            Kind.LOST_SESSION,
            "the login brought no cookie of a new session",
            answer,
        )
        return True

    def _log_out(self, skus: list[str]) -> None:
        """Log out while another tab adds; then nobody may be let in by the cookie of before."""
        old = self.browser.cookie_header()

        def add() -> None:
            body = {"sku": skus[_LATE], "qty": 1}
            self.post("/api/cart/items", json=body, expect=_ENDED, rotates=True)

        def log_out() -> None:
            self.post("/api/logout", expect=(204,), rotates=True)

        together(log_out, add)
        self.browser.forget()
        answer = self.get("/api/session", headers=old, expect=_ENDED, rotates=True)
        if answer.status != 200:
            return
        user = answer.json()["user"]
        self.hold(
            user is None,
            Kind.REVIVED_SESSION,
            f"{user} logged out, and the cookie lets in again",
        )
