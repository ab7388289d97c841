"""The shop does all that it does on the stores of compose.yaml, as the user that it is there."""

from collections.abc import Iterator

import pytest

from tests.stack.containers.conftest import StartContainers
from tests.stack.local.test_accounts import (  # noqa: F401  (collected here, with this folder's stacks)
    test_login,
    test_the_list_of_sessions,
)
from tests.stack.local.test_checkout import (  # noqa: F401
    _browser,
    test_checking_out,
    test_the_same_key_again,
)
from tests.stack.local.test_pages import Page, test_an_account_without_scripts  # noqa: F401
from tests.support.containers import ContainerStack

_NEW = "long enough"


@pytest.fixture(name="stack", scope="module", params=["redis", "valkey"])
def _stack(request: pytest.FixtureRequest, new_stack: StartContainers) -> Iterator[ContainerStack]:
    """Containers with the one store, and then with the other."""
    overlays = {"OVERLAYS": "valkey"} if request.param == "valkey" else {}
    stack = new_stack(WORKERS="1", **overlays)
    stack.up()
    yield stack
    error = stack.dispose()
    assert not error, error


def test_a_new_password(stack: ContainerStack) -> None:
    """A password changed: the new one lets the user in, the old one and old sessions do not."""
    user, other = stack.browser(), stack.browser()
    for browser in (user, other):
        answer = browser.send("POST", "/api/login", {"username": "linus", "password": "linus"})
        assert answer.status == 200
    answer = user.send("PUT", "/api/password", {"current": "linus", "new": _NEW})
    assert answer.status == 204
    assert user.session()["user"] == "linus"
    assert other.session()["user"] is None
    for password, status in (("linus", 401), (_NEW, 200)):
        answer = other.send("POST", "/api/login", {"username": "linus", "password": password})
        assert answer.status == status


def test_the_status_page(stack: ContainerStack) -> None:
    """The page /status describes the store, whatever else that tells in INFO."""
    with stack.browser() as browser:
        browser.add("tea")
        page = Page(browser.ask("GET", "/status"))
        assert "Valkey" in page.text if "OVERLAYS" in stack.settings else "Redis" in page.text
        assert "Commands" in page.text
