"""The way to the records' server: one script, one answer, one deadline."""

import os
import time
from pathlib import Path

import pytest
from shop.records.owner import Owner
from shop.records.seam import Seam
from unsticky import OutcomeUnknown, StoreUnavailable

from tests.shop.records.cutting import Cutting
from tests.shop.records.scripts import script
from tests.support.servers import Server

_COUNT = script("return redis.call('INCR', KEYS[1])")
_ECHO = script("return {ARGV[1], tonumber(ARGV[2]), redis.call('GET', KEYS[1])}")


def test_a_reply(seam: Seam) -> None:
    """A script's reply is text, integers, None and lists of these, as Python knows them."""
    assert seam.run(_ECHO, ["k"], ["süß", 7]) == ["süß", 7, None]


def test_a_forgotten_script(server: Server, seam: Seam) -> None:
    """A server that forgot its scripts, as after a restart, is told them again."""
    assert seam.run(_COUNT, ["k"]) == 1
    server.raw.script_flush()
    assert seam.run(_COUNT, ["k"]) == 2


def test_a_closed_connection(server: Server, seam: Seam) -> None:
    """A connection that the server closed meanwhile is replaced before anything is sent on it."""
    assert seam.run(_COUNT, ["k"]) == 1
    server.raw.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert seam.run(_COUNT, ["k"]) == 2


def test_a_refusal(server: Server, seam: Seam) -> None:
    """What the server refuses changed nothing, and is said to be so, with the reason."""
    server.raw.rpush("k", "no number")
    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        seam.run(_COUNT, ["k"])
    assert seam.run(_COUNT, ["other"]) == 1


def test_a_lost_answer(server: Server) -> None:
    """A call whose connection broke is sent once more; a script must allow for that."""
    with Cutting(server.socket, cuts=1) as relay:
        seam = Seam(relay.url)
        assert seam.run(_COUNT, ["k"]) == 2  # it ran twice, and this one does not allow for it
        seam.close()


def test_two_lost_answers(server: Server) -> None:
    """After the second broken connection nobody knows what happened, and that is the error."""
    with Cutting(server.socket, cuts=2) as relay:
        seam = Seam(relay.url)
        with pytest.raises(OutcomeUnknown):
            seam.run(_COUNT, ["k"])
        seam.close()
    assert server.raw.get("k") == b"2"


def test_no_server(tmp_path: Path) -> None:
    """A server that is not there changed nothing."""
    with pytest.raises(StoreUnavailable):
        Seam(f"unix://{tmp_path}/none").run(_COUNT, ["k"])


def test_a_server_that_hangs(server: Server) -> None:
    """A server that hangs costs one deadline; what came of it is unknown, if that matters."""
    seam = Seam(server.url, deadline=0.2)
    assert seam.run(_COUNT, ["k"]) == 1
    server.raw.execute_command("CLIENT", "PAUSE", 600, "ALL")
    before = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        seam.run(_COUNT, ["k"])
    assert time.monotonic() - before < 0.5
    with pytest.raises(StoreUnavailable):
        seam.ask(_ECHO, ["k"])
    server.raw.execute_command("CLIENT", "UNPAUSE")
    seam.close()


def test_a_forked_process(seam: Seam) -> None:
    """A forked process talks on a connection of its own."""
    assert seam.run(_COUNT, ["k"]) == 1
    child = os.fork()
    if not child:
        os._exit(0 if seam.run(_COUNT, ["k"]) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert seam.run(_COUNT, ["k"]) == 3


@pytest.mark.parametrize("name", ["ada", "}{", "b:c", "\0", "süß"])
def test_keys_of_one_owner(name: str) -> None:
    """All keys of an owner share one hash tag, whatever the name; other owners have others."""
    owner = Owner.user(name)
    tags = {
        key.partition("{")[2].partition("}")[0] for key in (owner.key("a"), owner.key("b", "c"))
    }
    assert len(tags) == 1
    assert owner.key("a") != Owner.guest(name).key("a")
