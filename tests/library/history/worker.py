"""One worker process: `python -m tests.library.history.worker <plan as JSON>`.

It changes the shared sessions at random until its operations are used up or the file `stop` is
there, and journals each operation before and after. It may be killed at any instant.
"""

import json
import logging
import random
import sys
import time
from dataclasses import asdict, dataclass
from http.cookies import SimpleCookie
from pathlib import Path

from tests.library.history.application import COOKIE, create_app
from tests.library.history.operations import Journal, Kind, Operation, Outcome
from tests.library.history.slots import Held, Slots

_WEIGHTS = {
    Kind.ADD: 15,
    Kind.PARCEL: 15,
    Kind.TOTAL: 10,
    Kind.SET: 8,
    Kind.REPLACE: 8,
    Kind.MERGE: 10,
    Kind.LOG: 10,
    Kind.TAKE: 6,
    Kind.MOVE: 4,
    Kind.ROTATE: 4,
    Kind.DESTROY: 1,
}

# All workers together would otherwise be done before the first fault (seconds, on average).
_PAUSE = 0.003


@dataclass(frozen=True)
class Plan:
    """What one worker is to do. `name` is unique among all incarnations of all workers."""

    name: str
    folder: str
    store_url: str
    slots: int
    operations: int
    deadline: float
    seed: int

    def argument(self) -> str:
        """Return the plan as the command line takes it."""
        return json.dumps(asdict(self))


class Worker:
    """See the module."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._folder = Path(plan.folder)
        self._random = random.Random(plan.seed)
        self._slots = Slots(self._folder)
        self._journal = Journal(self._folder / f"{plan.name}.journal")
        app, self._sessions = create_app(plan.store_url, plan.deadline)
        self._client = app.test_client(use_cookies=False)
        self._count = 0

    def run(self) -> None:
        """Do everything."""
        kinds, weights = list(_WEIGHTS), list(_WEIGHTS.values())
        for _ in range(self._plan.operations):
            if (self._folder / "stop").exists():
                return
            slot = self._random.randrange(self._plan.slots)
            kind = self._random.choices(kinds, weights)[0]
            if kind in {Kind.ROTATE, Kind.DESTROY}:
                with self._slots.locked(slot):
                    self._replace_session(slot, kind)
            else:
                self._change_session(slot, kind)
            time.sleep(self._random.expovariate(1 / _PAUSE))

    def _change_session(self, slot: int, kind: Kind) -> None:
        held = self._slots.read(slot)
        operation, cookie = self._carry_out(kind, held)
        # The session is not there any more if a cookie of another came back, or if this one was
        # moved and whoever moved it was killed before the new cookie was in the slot.
        if cookie or operation.code == "session-gone":
            with self._slots.locked(slot):
                if self._slots.read(slot) == held:
                    self._begin(slot)

    def _replace_session(self, slot: int, kind: Kind) -> None:
        operation, cookie = self._carry_out(kind, self._slots.read(slot))
        if operation.outcome is not Outcome.ACKNOWLEDGED:
            return
        if kind is Kind.DESTROY:
            self._begin(slot)
        elif cookie:
            self._slots.write(slot, Held(cookie, operation.landed))

    def _begin(self, slot: int) -> None:
        operation, cookie = self._carry_out(Kind.BEGIN, Held())
        if cookie:
            self._slots.write(slot, Held(cookie, operation.landed))

    def _carry_out(self, kind: Kind, held: Held) -> tuple[Operation, str]:
        """Do one operation; return it, and the cookie that came back or nothing."""
        self._count += 1
        operation = Operation(f"{self._plan.name}.{self._count}", kind, held.handle, _now())
        self._journal.intend(operation)
        headers = {"Cookie": f"{COOKIE}={held.cookie}"} if held.cookie else {}
        answer = self._client.post(f"/{kind}/{operation.tag}", headers=headers)
        operation.ended = _now()
        body = answer.get_json()
        operation.code = body.get("code", "")
        operation.outcome = _outcome(kind, answer.status_code, operation.code)
        operation.taken = body.get("taken", {})
        operation.replaced = body.get("replaced")
        cookie = _sent_cookie(answer.headers.getlist("Set-Cookie"))
        token = self._sessions.state.ring.verify(cookie) if cookie else None
        if token is not None:
            operation.landed = token.reference.handle
        self._journal.conclude(operation)
        return operation, cookie


def _outcome(kind: Kind, status: int, code: str) -> Outcome:
    match status, code:
        case 200, _:
            return Outcome.ACKNOWLEDGED
        case 503, "outcome-unknown":
            return Outcome.UNKNOWN
        case 503, _ if kind is Kind.DESTROY:
            # Ending twice is ending once: such a client is told to try again in either case.
            return Outcome.UNKNOWN
        case ((409 | 503), _):
            return Outcome.REFUSED
        case _:
            raise AssertionError(f"answered {status} {code}, which no history has a place for")


def _sent_cookie(headers: list[str]) -> str:
    for header in headers:
        morsel = SimpleCookie(header).get(COOKIE)
        if morsel is not None:
            return morsel.value
    return ""


def _now() -> float:
    return time.monotonic()


def main() -> None:
    """Run the plan that the command line holds."""
    # Refusals while the store is away are what is tested, and no news.
    logging.getLogger("unsticky").addHandler(logging.NullHandler())
    logging.getLogger("unsticky").propagate = False
    Worker(Plan(**json.loads(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
