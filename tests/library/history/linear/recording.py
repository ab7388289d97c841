"""Records what clients ask through nginx and what they are answered, while faults happen."""

import json
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from http.client import HTTPException, IncompleteRead
from http.cookies import SimpleCookie
from itertools import count, cycle
from pathlib import Path
from random import Random

from flask import Flask
from unsticky import Unsticky

from tests.library.history.linear.application import SECRET_KEY
from tests.library.history.linear.model import ITEMS, LIVES, MOVES, Call, Kind
from tests.library.history.linear.stack import Fault, Stack
from tests.support.http.wire import Answer, exchange

CLIENTS = 10
SLOTS = 3
_COOKIE = "session"
_WEIGHTS = {
    Kind.LOOK: 30,
    Kind.COUNT: 10,
    Kind.ADD: 12,
    Kind.REMOVE: 6,
    Kind.TAKE: 3,
    Kind.SET: 5,
    Kind.REPLACE: 8,
    Kind.TRANSFER: 8,
    Kind.ONCE: 12,
    Kind.BIND: 1.5,
    Kind.ROTATE: 1.5,
    Kind.DESTROY: 2.5,
}
_TAGGED = {Kind.BEGIN, Kind.SET, Kind.REPLACE, Kind.ONCE, Kind.BIND}
"""What leaves its number in the session, if nothing else."""
# How often a client sends a cookie from before, and how often it moves or ends a session beside
# another client that does so.
_LATE = 0.08
_SAME = 0.6
"""How often a name is given to `once` again."""
_BESIDE = 0.3
_AGAIN = 0.1
"""After an answer that the store is unavailable, in seconds."""
_PAUSE = 0.004
"""Between two requests of a client, in seconds, on average."""


@dataclass(frozen=True)
class _Held:
    cookie: str = ""
    handle: str = ""


@dataclass
class _Slot:
    """A session that clients share, the cookies before, and names that were given to `once`."""

    held: _Held = _Held()
    former: deque[_Held] = field(default_factory=lambda: deque(maxlen=3))
    names: deque[str] = field(default_factory=lambda: deque(maxlen=4))
    moving: threading.Lock = field(default_factory=threading.Lock)

    def put(self, held: _Held) -> None:
        """Let clients use another session from now on."""
        if self.held.cookie:
            self.former.append(self.held)
        self.held = held


class Recorder:
    """Clients that use a few sessions at random.

    Args:
        port: nginx'.
        seed: of what the clients do.
        broken: the name of a broken application; empty for the one that should be.

    Attributes:
        calls: what they did, once they have ended.
        odd: answers that no view of the application gives.
    """

    def __init__(self, port: int, seed: str, broken: str = "") -> None:
        self.calls: list[Call] = []
        self.odd: list[str] = []
        self._port, self._seed = port, seed
        self._prefix = f"/{broken}" if broken else ""
        self._numbers = count(1)
        self._slots = [_Slot() for _ in range(SLOTS)]
        self._stop = threading.Event()
        reader = Flask(__name__)
        reader.config.update(SECRET_KEY=SECRET_KEY, UNSTICKY_STORE="memory://")
        self._ring = Unsticky(reader).state.ring

    def record(self, stack: Stack, seconds: float, faults: Sequence[Fault] = ()) -> list[Call]:
        """Let clients and each fault happen, for some seconds at least; return all operations."""
        clients = [threading.Thread(target=self._visit, args=(n,)) for n in range(CLIENTS)]
        deadline = time.monotonic() + seconds
        for client in clients:
            client.start()
        try:
            random = Random(self._seed)
            for place, fault in enumerate(cycle(random.sample(faults, len(faults)))):
                time.sleep(random.uniform(0.3, 1))
                if place >= len(faults) and time.monotonic() > deadline:
                    break
                fault(stack, random)
            time.sleep(max(0, deadline - time.monotonic()))
        finally:
            self._stop.set()
            for client in clients:
                client.join()
        for slot in self._slots:
            self._ask(0, Kind.LOOK, slot.held)
        return self.calls

    def _visit(self, client: int) -> None:
        random = Random(f"{self._seed} {client}")
        while not self._stop.wait(random.expovariate(1 / _PAUSE)):
            slot = random.choice(self._slots)
            (kind,) = random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
            late = slot.former and random.random() < _LATE
            held = random.choice(list(slot.former)) if late else slot.held
            if kind not in LIVES:
                self._use(client, kind, slot, held, random)
            elif random.random() < _BESIDE:
                self._move(client, kind, slot, held)
            else:
                with slot.moving:
                    self._move(client, kind, slot, slot.held)

    def _use(self, client: int, kind: Kind, slot: _Slot, held: _Held, random: Random) -> None:
        argument = ""
        if kind in {Kind.ADD, Kind.REMOVE}:
            argument = random.choice(ITEMS)
        elif kind is Kind.ONCE and slot.names and random.random() < _SAME:
            argument = random.choice(list(slot.names))
        call, _ = self._ask(client, kind, held, argument)
        if call.word == "unavailable":
            time.sleep(_AGAIN)
        if kind is Kind.ONCE:
            slot.names.append(call.argument)
        if call.landed or call.word == "gone" or not held.cookie:
            with slot.moving:
                if slot.held == held:
                    self._begin(client, slot)

    def _move(self, client: int, kind: Kind, slot: _Slot, held: _Held) -> None:
        call, cookie = self._ask(client, kind, held)
        if slot.held != held or call.word != "ok":
            return
        if kind is Kind.DESTROY:
            self._begin(client, slot)
        elif cookie:
            slot.put(_Held(cookie, call.landed))

    def _begin(self, client: int, slot: _Slot) -> None:
        call, cookie = self._ask(client, Kind.BEGIN, _Held())
        if cookie:
            slot.put(_Held(cookie, call.landed))

    def _ask(self, client: int, kind: Kind, held: _Held, argument: str = "") -> tuple[Call, str]:
        """Ask for one operation; return it, and the cookie of the answer, if any."""
        number = next(self._numbers)
        argument = argument or (str(number) if kind in _TAGGED else "")
        asked = Call(number, client, kind, held.handle, argument, time.monotonic())
        method = "GET" if kind is Kind.LOOK else "POST"
        lines = [
            f"{method} {self._prefix}/{kind}/{argument or '-'} HTTP/1.1",
            "Host: localhost",
            "Connection: close",
            "Content-Length: 0",
            f"Idempotency-Key: {number}",
            *([f"Cookie: {_COOKIE}={held.cookie}"] if held.cookie else []),
        ]
        cookie, call = "", asked
        try:
            answer = exchange(self._port, "\r\n".join([*lines, "", ""]).encode(), method)
            ended = time.monotonic()
        except IncompleteRead:
            pass  # its worker was killed while it answered
        except (OSError, HTTPException) as error:
            self.odd.append(f"{asked.kind} {asked.number}: {error!r}")
        else:
            cookie, landed = self._landed(answer, held)
            call = replace(_answered(asked, answer, landed), request=answer.request_id)
            call = replace(call, ended=ended) if call.is_known else call
            if answer.status not in {200, 409, 502, 503, 504}:
                self.odd.append(f"{asked.kind} {asked.number}: {answer}")
        self.calls.append(call)
        return call, cookie

    def _landed(self, answer: Answer, held: _Held) -> tuple[str, str]:
        """Return the cookie of another session in an answer, and that session's handle."""
        for header in answer.headers.get_all("Set-Cookie", []):
            morsel = SimpleCookie(header).get(_COOKIE)
            token = self._ring.verify(morsel.value) if morsel and morsel.value else None
            if morsel and token and token.reference.handle != held.handle:
                return morsel.value, token.reference.handle
        return "", ""


def _answered(call: Call, answer: Answer, landed: str) -> Call:
    """Return a call with its answer; one whose outcome is unknown stays open."""
    document = answer.json() if answer.media_type.endswith("json") else {}
    code = document.get("code", "")
    if answer.status == 200:
        word = document.pop("word", "ok")
        if landed and word == "ok" and call.kind not in MOVES | {Kind.BEGIN}:
            word = "begun"
        return replace(call, word=word, seen=document, landed=landed)
    words = {"session-conflict": "conflict", "session-gone": "gone"}
    # An end may be repeated, so it says "try again" even if it was carried out.
    if call.kind is not Kind.DESTROY:
        words["store-unavailable"] = "unavailable"
    return replace(call, word=words.get(code, ""))


def write(calls: Iterable[Call], path: Path) -> None:
    """Write a history, one operation a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(asdict(call)) for call in calls]
    path.write_text("\n".join([*lines, ""]), encoding="ascii")


def read(path: Path) -> list[Call]:
    """Read what `write` wrote."""
    entries = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
    return [Call(**{**entry, "kind": Kind(entry["kind"])}) for entry in entries]
