"""What a server refuses: by the right server, or by one that is no longer the right one."""

import threading

import pytest
from unsticky.errors import OutcomeUnknown, StoreUnavailable
from unsticky.stores import Script, Wait

from tests.library.client.visitors import Opened, run, taken
from tests.support.stores.places import deadline
from tests.support.stores.strange import Answer, StrangeServer, bulk

_MOVED_ON = {
    "READONLY": "READONLY You can't write against a read only replica.",
    "READONLY in Redis 6.2": "ERR Error running script (call to f_0): @user_script:1: "
    "@user_script: 1: -READONLY You can't write against a read only replica. ",
    "READONLY that a script returned, in Redis 6.2": "@user_script: 8: -READONLY You can't write "
    "against a read only replica.",
    "MASTERDOWN": "MASTERDOWN Link with MASTER is down",
    "NOREPLICAS": "NOREPLICAS Not enough good replicas to write.",
    "UNBLOCKED": "UNBLOCKED force unblock from blocking operation, instance state changed",
    "MOVED": "MOVED 3999 127.0.0.1:6381",
    "LOADING": "LOADING Redis is loading the dataset in memory",
    "NOAUTH": "NOAUTH Authentication required.",
}

_FULL = b"-ERR max number of clients reached\r\n"


@pytest.mark.parametrize("error", _MOVED_ON.values(), ids=_MOVED_ON)
def test_a_server_that_is_not_the_right_one_any_more_is_left(opened: Opened, error: str) -> None:
    """All its connections are dropped, and the same call is answered by a new one."""
    demoted = threading.Event()

    def answer(number: int, command: list[bytes]) -> bytes | None:
        if number > 1 or not demoted.is_set():
            return None
        if command[0] == b"PING" and not error.startswith(("LOADING", "NOAUTH", "MASTERDOWN")):
            return None
        return f"-{error}\r\n".encode()

    with StrangeServer(answer) as server:
        client = opened(server.url)
        together = threading.Barrier(2)
        threads = [
            threading.Thread(target=lambda: (together.wait(), client.ask(deadline(), "GET", "k")))
            for _ in range(2)
        ]
        first, second = (taken(client) for _ in range(2))
        client._pool.give_back(first)  # noqa: SLF001
        client._pool.give_back(second)  # noqa: SLF001
        demoted.set()
        assert client.ask(deadline(), "GET", "k") == b"OK"
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.asked.count(b"GET") == 4


@pytest.mark.parametrize("error", ["OOM command not allowed", "MISCONF Errors", "NOPERM", "ERR x"])
def test_other_refusals_keep_the_connection(opened: Opened, error: str) -> None:
    """An error of the right server is said once, and the connection stays."""

    def answer(_: int, command: list[bytes]) -> bytes | None:
        return f"-{error}\r\n".encode() if command[0] == b"GET" else None

    with StrangeServer(answer) as server:
        client = opened(server.url)
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match=error):
                client.ask(deadline(), "GET", "k")
        assert (server.connections, server.asked.count(b"GET")) == (1, 3)


@pytest.mark.parametrize("error", ["OOM command not allowed", "BUSY a script runs", "LOADING"])
def test_a_refusal_of_a_script_is_checked(opened: Opened, error: str) -> None:
    """The server's own errors bear no mark; a PING shows that they answer this call."""

    def answer(_: int, command: list[bytes]) -> bytes | None:
        refused = command[0] == b"EVALSHA" or error == "LOADING"
        return f"-{error}\r\n".encode() if refused else None

    with StrangeServer(answer) as server:
        client = opened(server.url)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=error):
                run(client)
        again = error == "LOADING"  # the address is looked up, and the call sent once more
        assert server.asked.count(b"EVALSHA") == server.asked.count(b"PING") == (4 if again else 2)
        assert server.connections == (4 if again else 1)


@pytest.mark.parametrize("unknown", [b"", b"EVALSHA"])
def test_a_server_that_cannot_write_its_files_is_understood(opened: Opened, unknown: bytes) -> None:
    """It refuses PING, too, so that ECHO has to show which reply is whose; WAIT it answers."""

    def answer(_: int, command: list[bytes]) -> bytes | None:
        if command[0] == unknown:
            return b"-NOSCRIPT No matching script.\r\n"
        kept = {b"ECHO": bulk(command[-1]), b"WAIT": b":0\r\n", b"GET": b"$1\r\nx\r\n"}
        return kept.get(command[0], b"-MISCONF Errors writing to the AOF file\r\n")

    with StrangeServer(answer) as server:
        client, script = opened(server.url), Script.from_text("return 7")
        with pytest.raises(StoreUnavailable, match="refused: MISCONF"):
            run(client)
        with pytest.raises(StoreUnavailable, match="refused: MISCONF"):
            client.call_and_wait(script, (), (), deadline(), Wait(1, 20))
        assert client.ask(deadline(), "GET", "k") == b"x"
        assert server.connections == 1


def test_a_refused_ping_proves_nothing(opened: Opened) -> None:
    """Neither if ECHO is answered with another mark, nor if it is refused alike."""
    for echo in (b"$16\r\nabcdefghijklmnop\r\n", b"-NOPERM\r\n"):
        replies = {b"GET": b"$1\r\nx\r\n", b"PING": b"-MISCONF Errors\r\n", b"ECHO": echo}
        with StrangeServer(_saying(replies)) as server:
            with pytest.raises(OutcomeUnknown):
                opened(server.url).ask(deadline(), "GET", "k")
            assert server.connections == 2


def _saying(replies: dict[bytes, bytes]) -> Answer:
    return lambda _, said: replies.get(said[0])


def test_a_full_server_refuses_and_nothing_was_done(opened: Opened) -> None:
    """What is said to a connection that is closed at once is a refusal, not an unknown outcome."""
    for call in (run, lambda client: client.ask(deadline(), "INCR", "k")):
        with (
            StrangeServer(
                lambda *_: b"-ERR max number of clients reached\r\n", hang_up=True
            ) as server,
            pytest.raises(StoreUnavailable, match="max number of clients"),
        ):
            call(opened(server.url))


def test_a_refusal_never_repeats_what_was_sent(opened: Opened) -> None:
    """A server that does not know a command quotes its arguments; they are cut off."""

    def answer(_: int, command: list[bytes]) -> bytes:
        quoted = b" ".join(repr(part).encode() for part in command[1:])
        return b"-ERR unknown command, with args beginning with: " + quoted + b"\r\n"

    with StrangeServer(answer) as server:
        for url in (server.url, f"redis://:s3cret@127.0.0.1:{server.port}"):
            with pytest.raises(StoreUnavailable) as caught:
                opened(url).ask(deadline(), "SET", "k", "s3cret")
            assert "s3cret" not in str(caught.value)
            assert "unknown command" in str(caught.value)
