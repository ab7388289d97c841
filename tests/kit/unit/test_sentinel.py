"""What the servers and Sentinels of `STORE=sentinel` start with."""

import json
import re
import socket
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from kit.errors import KitError
from kit.local import sentinel
from kit.settings import Settings, load
from kit.state import StateFolder
from kit.system import resp
from kit.system.sentinel import SENTINELS, WatchedStore


def _settings(state: StateFolder, store: str) -> Settings:
    return load({"STATE_DIR": str(state.root), "STORE": store}, state.root)


def _prepared(state: StateFolder) -> dict[str, int]:
    """Make the files, as before the first start; return the ports."""
    sentinel.prepare(_settings(state, "sentinel"), state, ())
    return dict(sentinel.recorded(state).ports)


def _text(state: StateFolder, name: str) -> str:
    return sentinel.own_file(name, state).read_text()


def _replace_primary(state: StateFolder, ports: dict[str, int]) -> None:
    """Write what Sentinels and servers do if valkey hangs and valkey-2 takes its place."""
    for name in SENTINELS:
        text = _text(state, name).replace(str(ports["valkey"]), str(ports["valkey-2"]))
        text += "sentinel config-epoch unsticky 1\n"
        sentinel.own_file(name, state).write_text(text)
    sentinel.own_file("valkey-2", state).write_text("")
    follows = f"replicaof 127.0.0.1 {ports['valkey-2']}\n"
    sentinel.own_file("valkey-3", state).write_text(follows)


def test_a_primary_that_missed_its_replacement_starts_as_a_replica(state: StateFolder) -> None:
    """With `min-replicas-to-write` it would refuse all, and never be ready."""
    ports = _prepared(state)
    assert _text(state, "valkey") == ""
    _replace_primary(state, ports)
    follows = f"replicaof 127.0.0.1 {_prepared(state)['valkey-2']}\n"
    assert [_text(state, name) for name in sentinel.SERVERS] == [follows, "", follows]


@pytest.mark.parametrize("lost", [SENTINELS[1:2], SENTINELS], ids=["one", "all"])
def test_lost_sentinels_watch_the_last_primary(state: StateFolder, lost: tuple[str, ...]) -> None:
    """They are made again, and know it from the others, or from the servers' files."""
    _replace_primary(state, _prepared(state))
    follows = sentinel.own_file("valkey-3", state).read_text()
    sentinel.own_file("valkey", state).write_text(follows)
    for name in lost:
        sentinel.own_file(name, state).unlink()
    assert sentinel.latest(state) == "valkey-2"
    port = _prepared(state)["valkey-2"]
    for name in SENTINELS:
        assert f"sentinel monitor unsticky 127.0.0.1 {port} 2\n" in _text(state, name)


def test_servers_of_a_copied_folder_stay_in_it(state: StateFolder) -> None:
    """The folder that servers and Sentinels noted is that of the original, which may still run."""
    _prepared(state)
    for name in (*sentinel.SERVERS, *SENTINELS):
        path = sentinel.own_file(name, state)
        path.write_text(path.read_text() + '# Generated\ndir "/elsewhere"\nprotected-mode no\n')
    _prepared(state)
    for name in (*sentinel.SERVERS, *SENTINELS):
        assert not re.search(r"^dir ", _text(state, name), re.MULTILINE)
        assert "\nprotected-mode no\n" in _text(state, name)


def test_a_replaced_port_is_no_other_server_s(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A free port may be free because its own server does not run yet."""
    ports = _prepared(state)
    monkeypatch.setattr(sentinel, "free_ports", lambda: iter([ports["valkey-2"], 40_000]))
    with socket.create_server(("127.0.0.1", ports["valkey"])):
        assert _prepared(state) == ports | {"valkey": 40_000}


@pytest.mark.parametrize("store", ["single", "sentinel"])
def test_a_server_that_is_left_says_which_store_runs(state: StateFolder, store: str) -> None:
    """A `make up` that was killed, or failed, may have started the first server alone."""
    ports = _prepared(state)
    assert ports
    own = [str(sentinel.own_file("valkey", state))] if store == "sentinel" else []
    state.service_spec("valkey").write_text(json.dumps({"argv": ["valkey-server", *own]}))
    sentinel.prepare(_settings(state, store), state, ["valkey"])
    other = "single" if store == "sentinel" else "sentinel"
    with pytest.raises(KitError, match=f"the store runs with STORE={store}"):
        sentinel.prepare(_settings(state, other), state, ["valkey"])


def test_numbers_of_a_server_are_numbers() -> None:
    """A replica that has 999 bytes has less than 1000, which texts would not say."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.sendall(b"+OK\r\n*4\r\n$6\r\nmaster\r\n:1000\r\n*-1\r\n$-1\r\n")
                connection.recv(1000)

        thread = threading.Thread(target=answer)
        thread.start()
        assert resp.ask(server.getsockname(), "password", "ROLE") == ["master", 1000, None, None]
        thread.join()


class _Moving(WatchedStore):
    """Servers whose primary has just become a replica."""

    servers = ("one", "two")

    def ask(self, name: str, *words: str) -> Any:
        if words[0] == "SENTINEL":
            return ["one", "6379"]
        return ["slave", "two", 6379, "connected", 9] if name == "one" else ["master", 9, []]

    def named(self, address: Sequence[str]) -> str:
        return address[0]


def test_status_during_a_fail_over() -> None:
    """The Sentinels may name a server that is a replica; how far others are behind is unknown."""
    assert _Moving().roles() == {"one": "replica", "two": "primary"}
