"""docs/operations.md, carried out while members visit: nobody is logged out."""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

import pytest

from tests.stack.containers.foreign_app import ForeignStack
from tests.support.checkout import ROOT
from tests.support.http.client import Client
from tests.support.pages import blocks
from tests.support.stacks.containers import require_engine
from tests.support.waiting import wait_until

_PAGE = ROOT / "docs" / "operations.md"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_WORKERS = 4
# Seconds until workers have ended that had nothing to do, on a slow machine.
_PATIENCE = 120.0


class Member:
    """A logged-in browser that knows how often it was counted."""

    def __init__(self, port: int, user: str) -> None:
        self.browser = Client(port, "session")
        self.user, self.visits = user, 0
        answer = self.browser.ask("POST", "/login", f"user={user}".encode(), _FORM)
        assert answer.status == 200

    def visit(self) -> str:
        """Visit once; return what was wrong, if anything."""
        answer = self.browser.ask("POST", "/", b"")
        if answer.status != 200:
            return f"{answer.status} {answer.text[:200]}"
        self.visits += 1
        expected = {"visits": self.visits, "user": self.user}
        return "" if answer.json() == expected else f"{answer.json()}, not {expected}"


def _user(browser: Client) -> object:
    """Return whom a visit is counted for."""
    return browser.ask("POST", "/", b"").json()["user"]


@contextmanager
def _visiting(members: list[Member]) -> Iterator[Counter[str]]:
    """Let members visit until the block ends; yield what they met, by what was wrong."""
    met: Counter[str] = Counter()
    end = threading.Event()

    def visit(member: Member) -> None:
        while not end.wait(0.05):
            try:
                outcome = member.visit()
            except Exception as error:  # noqa: BLE001  (what was lost is what is asserted)
                outcome = repr(error)
            met[outcome] += 1

    threads = [threading.Thread(target=visit, args=(member,)) for member in members]
    for thread in threads:
        thread.start()
    try:
        yield met
    finally:
        end.set()
        for thread in threads:
            thread.join()


@pytest.fixture(name="stack", scope="module")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignStack]:
    require_engine()
    stack = ForeignStack("members", tmp_path_factory.mktemp("m"))
    try:
        stack.start()
        yield stack
    finally:
        stack.dispose()


@pytest.fixture(name="members")
def _members(stack: ForeignStack) -> list[Member]:
    return [Member(stack.port, f"{number}-{token_hex(4)}") for number in range(4)]


def _texts(heading: str) -> list[str]:
    return [block.text for block in blocks(heading, "sh", page=_PAGE)]


def _carry_out(stack: ForeignStack, *texts: str) -> str:
    return stack.shell("\n".join(texts), stack.folder / "deploy")


def _unsticky(stack: ForeignStack, *words: str) -> str:
    command, _ = _texts("Ask and end sessions")[0].splitlines()
    return _carry_out(stack, " ".join([command.partition(" list ")[0], *words]))


def _password(stack: ForeignStack) -> str:
    url = (stack.folder / "deploy" / "secrets" / "redis_url").read_text()
    return url.partition("shop:")[2].partition("@")[0]


def test_secrets_change_under_load(stack: ForeignStack, members: list[Member]) -> None:
    """Key and passwords are exchanged: no request fails, and no member is logged out."""
    reload, *steps = _texts("Change the secrets")
    away = Member(stack.port, "away")
    keys = stack.folder / "deploy" / "secrets" / "secret_key"
    before, password = keys.read_text(), _password(stack)
    ended = _ended(stack)
    with _visiting(members) as met:
        for number, step in enumerate(steps, start=1):
            cookies = [member.browser.cookie for member in members]
            _carry_out(stack, reload, step)
            wait_until(
                lambda: _ended(stack) >= ended + number * _WORKERS,  # noqa: B023  (called at once)
                "the workers that knew the former secrets have ended",
                _PATIENCE,
            )
            if " use " in step:
                wait_until(
                    lambda: all(
                        member.browser.cookie != cookie
                        for member, cookie in zip(members, cookies, strict=True)  # noqa: B023
                    ),
                    "cookies with the new signature",
                    _PATIENCE,
                )
                assert _user(away.browser.tab()) == "away"
        wait_until(lambda: met.total() > 100, "a hundred visits", _PATIENCE)
    assert list(met) == [""], met
    assert before not in keys.read_text()
    assert _password(stack) != password
    # Who stayed away all the time has a cookie that counts no longer.
    assert _user(away.browser) is None
    refused = stack.compose(
        "exec", "-T", "redis", "redis-cli", "--user", "shop", "--pass", password, "ping"
    )
    assert "PONG" not in refused


def _ended(stack: ForeignStack) -> int:
    """Return how many workers have ended."""
    said = [stack.shell(f"docker logs {each} 2>&1") for each in stack.replicas()]
    return sum(text.count("Worker exiting") for text in said)


def test_restored_store_is_as_it_was(stack: ForeignStack, members: list[Member]) -> None:
    """A copy made under load has all that came before; what was ended since lives again."""
    backup, restore = _texts("Back up and restore the store")
    with _visiting(members) as met:
        _carry_out(stack, backup)
        known = [member.visits for member in members]
    assert list(met) == [""], met
    leaver = members[0]
    kept = leaver.browser.tab()
    assert leaver.browser.ask("POST", "/logout", b"").status == 200
    assert _user(kept.tab()) is None
    later = Member(stack.port, "later")
    _carry_out(stack, restore)
    wait_until(
        lambda: later.browser.tab().ask("POST", "/", b"").status == 200, "sessions", _PATIENCE
    )
    # As the page says: one lives again, one is gone.
    assert _user(kept) == leaver.user
    assert _user(later.browser) is None
    for member, visits in zip(members[1:], known[1:], strict=True):
        answer = member.browser.ask("POST", "/", b"").json()
        assert answer["user"] == member.user
        assert answer["visits"] > visits - 40
    assert _unsticky(stack, "revoke-user", leaver.user) == "Ended 1.\n"
    assert _user(kept) is None


def test_worker_runs_beside_the_replicas(stack: ForeignStack) -> None:
    """The settings of docs/your-app.md add one worker, which has the secrets, and no replica."""
    settings, before = stack.folder / "deploy" / ".env", len(stack.replicas())
    (added,) = blocks("Background workers", "ini")
    command = "'test -n \"$SECRET_KEY\" && echo ready; sleep 600'"
    text = added.text.replace("celery --app blog.tasks worker", command)
    text = text.replace("celery --app blog.tasks beat --schedule instance/beat", "'sleep 600'")
    assert text.count("sleep") == 2
    settings.write_text(settings.read_text() + text)
    _carry_out(stack, "./deploy")
    wait_until(lambda: "ready" in stack.compose("logs", "worker"), "the worker", _PATIENCE)
    services = [*stack.containers().values()]
    assert [services.count(name) for name in ("worker", "scheduler", "app")] == [1, 1, before]


def test_valkey_takes_over(stack: ForeignStack, members: list[Member]) -> None:
    """Valkey serves the sessions that Redis had, with every acknowledged count."""
    for member in members:
        assert not member.visit()
    shutil.copy(stack.checkout / "compose" / "compose.valkey.yaml", stack.folder / "deploy")
    _carry_out(stack, *_texts("From Redis to Valkey"))
    server = stack.compose("exec", "-T", "redis", "valkey-server", "--version")
    assert "Valkey" in server
    wait_until(
        lambda: members[0].browser.tab().ask("POST", "/", b"").status == 200, "sessions", _PATIENCE
    )
    members[0].visits += 1
    time.sleep(1)  # each worker refuses for a second after it met no store
    assert [member.visit() for member in members] == [""] * len(members)
    assert _unsticky(stack, "erase", members[1].user) == "Ended 1, and erased the user.\n"
    assert _unsticky(stack, "list", members[1].user) == ""
