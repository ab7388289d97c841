"""What the shop refuses to do. The text of a refusal says why, and what to do.

The shop raises these and knows nothing of HTTP: `shop.http.problems` gives each its status.
"""

from typing import Final

MOST_QUOTED: Final = 40
"""Characters of one text of a client that an answer shows."""


def cut(text: str, most: int) -> str:
    """Return a text with at most so many characters; the last is `…` if some are missing."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def quoted(text: str) -> str:
    """Return a client's text as an answer may show it: in quotes, escaped, and cut."""
    return repr(cut(text, MOST_QUOTED))


class Refusal(Exception):
    """The shop did not do what was asked, and changed nothing.

    It may be stored and logged, so its size must not follow from that of the request: show what a
    client sent by `quoted` only.

    Args:
        text: What is wrong, with the value, and what to do.
        retry_after: In how many seconds it makes sense to ask again, if it does.
    """

    def __init__(self, text: str, *, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class UnknownProduct(Refusal):
    """The catalog has no product of this sku."""


class LineFull(Refusal):
    """A line of the cart would pass its limit."""


class CartEmpty(Refusal):
    """There is nothing to order."""


class LoginRequired(Refusal):
    """A guest asked for what is for users."""


class RecentLoginRequired(Refusal):
    """The login is too old for what could lock the user out."""


class UnknownSession(Refusal):
    """The user has no session of this handle."""


class PasswordChanged(Refusal):
    """Another change of the password came first."""


class PasswordRefused(Refusal):
    """The password was not accepted; it may be sent again."""


class WrongCredentials(PasswordRefused):
    """The name or the password is wrong."""


class TooManyLogins(PasswordRefused):
    """This client failed too often for this user."""


class LoginsBusy(PasswordRefused):
    """The replica hashes as many other passwords as it may."""
