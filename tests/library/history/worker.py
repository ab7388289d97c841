"""One worker process: `python -m tests.library.history.worker <plan as JSON>`.

It changes the shared sessions at random until it has done all its operations or the file `stop`
exists. It notes each operation in its journal before and after. It may be killed at any instant.
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

# Without pauses all workers would finish before the first fault (seconds, on average).
_PAUSE = 0.003


@dataclass(frozen=True)
class Plan:
    """The task of one worker. `name` is unique among all processes of a run."""

    name: str
    folder: str
    store_url: str
    slots: int
    operations: int
    deadline: float
    seed: int

    def argument(self) -> str:
        """Return the plan as an argument of the command line."""
        return json.dumps(asdict(self))


class Worker:
    """Carries out a plan."""

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
        """Do all operations."""
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
        # The session is gone if the answer has another one's cookie, or if a worker moved it and
        # was killed before it put the new cookie into the slot.
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
        """Do one operation; return it, and the cookie of the answer, if any."""
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
            # An end may be repeated, so this answer says "try again" even if it was carried out.
            return Outcome.UNKNOWN
        case ((409 | 503), _):
            return Outcome.REFUSED
        case _:
            raise AssertionError(f"answered {status} {code}, which no history expects")


def _sent_cookie(headers: list[str]) -> str:
    for header in headers:
        morsel = SimpleCookie(header).get(COOKIE)
        if morsel is not None:
            return morsel.value
    return ""


def _now() -> float:
    return time.monotonic()


def main() -> None:
    """Carry out the plan in the command line."""
    # The tests cause refusals: they are not worth a log entry.
    logging.getLogger("unsticky").addHandler(logging.NullHandler())
    logging.getLogger("unsticky").propagate = False
    Worker(Plan(**json.loads(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
