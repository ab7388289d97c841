"""Requirements 4, 5, 13, 14, 15, 16 and 17: who a session belongs to, and when that ends."""

from base64 import urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

from .browser import Browser
from .conftest import NewApp, Workers
from .gate import Gate
from .test_identifiers import Browse
from .valkey import Valkey

_ENOUGH = 24
"""Requests of which four workers in turn each see some."""


def _users(browser: Browser) -> set[str | None]:
    """Return whom the workers take this cookie for, asking until each was asked."""
    seen: set[int] = set()
    users: set[str | None] = set()
    for _ in range(_ENOUGH):
        # A twin each time: what this browser holds must not change by asking.
        answer = browser.twin().get("/me").json()
        seen.add(answer["pid"])
        users.add(answer["user"])
    assert len(seen) > 1
    return users


@pytest.mark.parametrize("change", ["/login", "/rotate"])
def test_04_privilege_change_changes_the_id(
    new_app: NewApp, store: str, browse: Browse, change: str
) -> None:
    """Login, a second login and rotation give a new id each, and keep the data (CWE-384)."""
    browser = browse(new_app(store))
    browser.post("/set", theme="dark")
    for count in (2, 3):
        assert browser.post(change, user="ann").status == 200
        assert len(set(browser.issued)) == count
    assert browser.get("/me").json()["data"]["theme"] == "dark"


def test_04_the_old_cookie_is_nobody_on_any_worker(workers: Workers) -> None:
    """A cookie from before the login is authenticated on no worker, at once."""
    browser = workers.browser()
    browser.post("/set", theme="dark")
    before = browser.twin()
    browser.post("/login", user="old-cookie")
    assert _users(before) == {None}
    assert _users(browser) == {"old-cookie"}
    assert before.post("/set", theme="light").status == 409


@pytest.mark.parametrize("stage", ["before", "after"])
def test_04_the_old_cookie_is_nobody_during_the_login(
    workers: Workers, tmp_path: Path, stage: str
) -> None:
    """While a login is half-way, its old cookie is authenticated on no worker, then and later."""
    browser = workers.browser()
    browser.post("/set", theme="dark")
    before = browser.twin()
    gate = Gate(tmp_path, "login")
    user = f"half-way-{stage}"
    gate.send(lambda: browser.post("/login", user=user, **{stage: gate.path}))
    assert _users(before) == {None}
    assert gate.open().status == 200
    assert _users(before) == {None}
    assert _users(browser) == {user}


def test_04_a_writer_in_flight_across_the_login_gains_nothing(
    workers: Workers, tmp_path: Path
) -> None:
    """A request that loaded the session before the login cannot write into it afterwards."""
    browser = workers.browser()
    browser.post("/set", theme="dark")
    before = browser.twin()
    gate = Gate(tmp_path, "writer")
    gate.send(lambda: before.post("/set", theme="planted", gate=gate.path))
    browser.post("/login", user="in-flight")
    answer = gate.open()
    assert answer.status == 409
    assert answer.json()["code"] == "session-gone"
    assert answer.headers["Set-Cookie"] is None
    assert browser.get("/me").json()["data"] == {"theme": "dark", "user": "in-flight"}


def test_05_logout_ends_the_session_for_those_in_flight(
    workers: Workers, valkey: Valkey, tmp_path: Path
) -> None:
    """A reader and a writer held open across a logout bring nothing back (CVE-2025-46336)."""
    browser = workers.browser()
    browser.post("/login", user="leaving")
    browser.post("/set", secret="payload-of-the-dead")
    reader, writer = Gate(tmp_path, "reader"), Gate(tmp_path, "writer")
    one, other, late = browser.twin(), browser.twin(), browser.twin()
    reader.send(lambda: one.get(f"/me?gate={reader.path}"))
    writer.send(lambda: other.post("/set", theme="revived", gate=writer.path))
    assert browser.post("/logout").status == 204
    assert browser.cookie is None
    assert writer.open().status == 409
    assert reader.open().status == 200  # it had read while the session lived
    assert _users(late) == {None}
    assert _remains(valkey, workers.prefix, b"payload-of-the-dead") == []
    assert _remains(valkey, workers.prefix, b"revived") == []
    tombstones = [key for key in valkey.keys(f"{workers.prefix}*:s:*") if _is_grave(valkey, key)]
    assert tombstones
    assert all(0 < valkey.ask("PTTL", key) <= 60_000 for key in tombstones)


def test_05_what_comes_late_is_refused(new_app: NewApp, store: str, browse: Browse) -> None:
    """A cookie used after its logout reads nothing, and what it writes goes under a new id."""
    app = new_app(store)
    browser = browse(app)
    browser.post("/login", user="ann")
    late = browser.twin()
    dead = browser.cookie
    browser.post("/logout")
    answer = late.get("/me")
    assert answer.json()["data"] == {}
    assert "Set-Cookie" not in answer.headers
    late.post("/set", theme="dark")
    assert late.cookie != dead
    assert late.get("/me").json()["data"] == {"theme": "dark"}


def test_13_a_user_ends_one_of_three_sessions(workers: Workers) -> None:
    """Ending one client's session stops it at its next request, and the others live on."""
    clients = [workers.browser() for _ in range(3)]
    handles = [
        client.post("/login", user="thrice", label=f"client {number}").json()["handle"]
        for number, client in enumerate(clients)
    ]
    assert clients[0].get("/sessions").json() == handles
    assert clients[0].post("/revoke", handle=handles[1]).json() is True
    assert _users(clients[1]) == {None}
    assert clients[1].post("/revoke", handle=handles[1]).json() is False
    assert _users(clients[0]) == _users(clients[2]) == {"thrice"}
    assert clients[2].get("/sessions").json() == [handles[0], handles[2]]


def test_13_a_handle_opens_nothing(new_app: NewApp, store: str, browse: Browse) -> None:
    """The handle that a list shows is no cookie, and nothing of the id can be read off it."""
    app = new_app(store)
    browser = browse(app)
    handle = browser.post("/login", user="ann").json()["handle"]
    thief = browse(app)
    for value in (handle, handle * 4, handle.ljust(96, "A")):
        thief.cookie = value
        assert thief.get("/me").json()["user"] is None


def test_14_a_password_change_ends_all_other_sessions(workers: Workers) -> None:
    """After the change only the session that made it lives, and old stamps are refused."""
    clients = [workers.browser() for _ in range(3)]
    for client in clients:
        assert client.post("/login", user="changing", stamp=1).status == 200
    assert clients[0].post("/revoke-others", stamp=2).json() == 2
    assert _users(clients[0]) == {"changing"}
    assert _users(clients[1]) == _users(clients[2]) == {None}
    late = workers.browser()
    answer = late.post("/login", user="changing", stamp=1)
    assert (answer.status, answer.json()["code"]) == (401, "stale-credential")
    assert late.cookie is None
    assert late.post("/login", user="changing", stamp=2).status == 200


@pytest.mark.parametrize("stage", ["before", "after"])
def test_14_a_login_racing_the_change_does_not_survive_it(
    workers: Workers, tmp_path: Path, stage: str
) -> None:
    """A login that verified the old password is refused, or ended, wherever the change meets it."""
    user = f"racing-{stage}"
    owner, racer = workers.browser(), workers.browser()
    owner.post("/login", user=user, stamp=1)
    gate = Gate(tmp_path, "race")
    gate.send(lambda: racer.post("/login", user=user, stamp=1, **{stage: gate.path}))
    owner.post("/revoke-others", stamp=2)
    answer = gate.open()
    assert answer.status == (401 if stage == "before" else 409)
    assert _users(racer) == {None}
    assert owner.get("/sessions").json() == [owner.get("/me").json()["handle"]]


def test_15_ending_a_users_sessions_never_scans(
    new_app: NewApp, valkey: Valkey, browse: Browse
) -> None:
    """One user's sessions end in one trip that reads that user's index, never KEYS or SCAN.

    In a cluster they are ended one by one between two such trips.
    """
    app = new_app(valkey.url)
    clients = [browse(app) for _ in range(5)]
    for client in clients:
        client.post("/login", user="ann")
    bystander = browse(app)
    bystander.post("/login", user="bob")
    app.extensions["unsticky"].revoke_all("nobody")  # from now on the server knows the script
    valkey.ask("CONFIG", "RESETSTAT")
    assert app.extensions["unsticky"].revoke_all("ann") == 5
    stats = valkey.ask("INFO", "commandstats")
    assert valkey.calls() == (7 if valkey.url.startswith("redis+cluster:") else 1)
    assert not {"cmdstat_keys", "cmdstat_scan"} & {name.partition(":")[0] for name in stats}
    assert [client.get("/me").json()["user"] for client in clients] == [None] * 5
    assert bystander.get("/me").json()["user"] == "bob"


def test_15_an_operator_ends_everyones_sessions(
    new_app: NewApp, valkey: Valkey, browse: Browse
) -> None:
    """A command ends all sessions, many or none, in steps of bounded length and without KEYS."""
    app = new_app(valkey.url)
    clients = [browse(app) for _ in range(20)]
    for number, client in enumerate(clients):
        client.post("/login", user=f"user-{number}")
    for number in range(3000):  # other programs' keys, so that it takes several steps
        valkey.ask("SET", f"other-{number}", "x")
    valkey.ask("CONFIG", "RESETSTAT")
    command = ["unsticky", "revoke-everyone", "--yes"]
    ended = app.test_cli_runner().invoke(args=command)
    assert (ended.exit_code, ended.stdout) == (0, "Ended 20.\n")
    stats = valkey.ask("INFO", "commandstats")
    assert "cmdstat_keys" not in {name.partition(":")[0] for name in stats}
    assert valkey.calls() >= 3
    assert [client.get("/me").json()["user"] for client in clients] == [None] * 20
    again = app.test_cli_runner().invoke(args=command)
    assert (again.exit_code, again.stdout) == (0, "Ended 0.\n")


def test_15_an_operator_lists_and_ends_one_users_sessions(
    new_app: NewApp, valkey: Valkey, browse: Browse
) -> None:
    """Commands list a user's sessions by handle, end one of them, and then the others."""
    app = new_app(valkey.url)
    clients = [browse(app) for _ in range(3)]
    for client in clients:
        client.post("/login", user="ann")
    handles = [client.get("/me").json()["handle"] for client in clients]
    run = app.test_cli_runner().invoke
    listed = run(args=["unsticky", "list", "ann"]).stdout.splitlines()
    assert {line.split()[0] for line in listed} == set(handles)
    assert run(args=["unsticky", "revoke", handles[0]]).stdout == "Ended.\n"
    assert [client.get("/me").json()["user"] for client in clients] == [None, "ann", "ann"]
    assert run(args=["unsticky", "revoke-user", "ann"]).stdout == "Ended 2.\n"
    assert [client.get("/me").json()["user"] for client in clients] == [None, None, None]
    gone = run(args=["unsticky", "revoke", handles[0]])
    assert (gone.exit_code, gone.stdout) == (0, "There is no such session, or it has ended.\n")


def test_15_an_operator_erases_a_user(new_app: NewApp, valkey: Valkey, browse: Browse) -> None:
    """No key or value is left with the user's name or its digest, but those of others are."""
    app = new_app(valkey.url)
    for user in ("hedwig", "hedwig", "bob"):
        client = browse(app)
        client.post("/login", user=user)
    app.extensions["unsticky"].revoke_all("hedwig", stamp=3)
    again = browse(app)
    again.post("/login", user="hedwig", stamp=3)

    def left(user: str) -> list[bytes]:
        digest = app.extensions["unsticky"].state.ring.subject(user).digest
        name = urlsafe_b64encode(digest)[:22]
        # Other tests' applications are in the same store.
        prefix = app.config["SESSION_KEY_PREFIX"]
        kept = [valkey.hash(key).values() for key in valkey.keys(f"{prefix}*:s:*")]
        keys = [*valkey.keys(f"{prefix}*"), *(each for entry in kept for each in entry)]
        return [text for text in keys if name in text or user.encode() in text]

    assert left("hedwig")
    ended = app.test_cli_runner().invoke(args=["unsticky", "erase", "hedwig"])
    assert (ended.exit_code, ended.stdout) == (0, "Ended 1, and erased the user.\n")
    assert left("hedwig") == []
    assert left("bob")
    assert client.get("/me").json()["user"] == "bob"
    assert again.get("/me").json()["user"] is None


def test_15_an_operator_is_told_that_the_store_is_away(new_app: NewApp) -> None:
    """Without the store a command says so in one line and exits with 1."""
    app = new_app("redis://127.0.0.1:1/0")
    for command in (["ping"], ["list", "ann"], ["revoke-everyone", "--yes"]):
        outcome = app.test_cli_runner().invoke(args=["unsticky", *command])
        assert outcome.exit_code == 1
        assert outcome.stderr.startswith("Error: The session store is unavailable: cannot reach")


def test_16_parallel_logins_keep_to_the_limit(workers: Workers) -> None:
    """20 logins of one user at once, limit 3: exactly 3 live, and the list says the same."""
    clients = [workers.browser() for _ in range(20)]

    def login(client: Browser) -> int:
        return client.post("/login", user="popular").status

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(login, clients))
    # One that its successors ended before it had answered is told so.
    assert set(statuses) <= {200, 409}
    living = [client for client in clients if client.get("/me").json()["user"] == "popular"]
    assert len(living) == 3
    assert len(living[0].get("/sessions").json()) == 3


def test_17_a_stale_authentication_is_challenged(
    new_app: NewApp, store: str, browse: Browse
) -> None:
    """A view that needs a recent login knows its age; neither use nor rotation makes it younger."""
    client = browse(new_app(store, FRESH_SECONDS=1.0))

    def logged_in() -> bool:
        client.post("/login", user="ann")
        return client.post("/transfer").status == 200

    wait_until(logged_in, "a transfer within a second of the login")

    def used() -> bool:
        client.post("/add")
        client.post("/rotate")
        return client.post("/transfer").status != 200

    wait_until(used, "a challenge, although the session is used all the time")
    challenge = client.post("/transfer")
    assert (challenge.status, challenge.json()) == (401, {"challenge": "log in again"})
    assert client.get("/me").json()["user"] == "ann"  # still known, only not for this
    wait_until(logged_in, "a transfer within a second of the new login")


def _remains(valkey: Valkey, prefix: str, needle: bytes) -> list[bytes]:
    """Return the keys of sessions that hold `needle`."""
    return [
        key
        for key in valkey.keys(f"{prefix}*")
        if valkey.ask("TYPE", key) == b"hash"
        and any(needle in part for pair in valkey.hash(key).items() for part in pair)
    ]


def _is_grave(valkey: Valkey, key: bytes) -> bool:
    return set(valkey.hash(key)) == {b"\0t"}
