"""Which server is the primary of a service now: all Sentinels are asked at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from typing import Any, Final, NamedTuple

from ..base import Deadline
from ..connection import Connection, understood
from ..replies import ErrorReply, NotAReply, packed
from .place import PORT

_SECONDS: Final = 0.3
"""How long the Sentinels have to answer, so that time is left for the primary (seconds)."""

_GRACE: Final = 0.03
"""How long the others have once one has answered and most have ended (seconds). One that was cut
off from them knows less, and may be the first to answer."""

_LOOK: Final = 1.0
"""How often the Sentinels are asked while connections are in use (seconds). After a planned
fail-over the former primary takes writes, which are lost, until Sentinel demotes it 8 s later."""

Address = tuple[str, int]
"""A host and a port."""


class Primary:
    """The primary of a service: in a connection of redis-py, in place of that library's proxy.

    Args:
        manager: a `Sentinel` of redis-py, or of a library like it.
        service: the name under which the Sentinels watch the primary.
        make: returns a connection, not yet connected, as the pool that is given makes them.

    Attributes:
        moved: called when the Sentinels name another server than before.
    """

    is_master = True
    check_connection = False

    def __init__(self, manager: Any, service: str, make: Callable[..., Any]) -> None:
        self._service = service
        self._least = manager.min_other_sentinels
        self._host: str | None = getattr(manager, "_force_master_ip", None)
        pools = [sentinel.connection_pool for sentinel in manager.sentinels]
        self._sentinels = [_Sentinel(pool, service, make) for pool in pools]
        self._known: Address | None = None
        self._looked = self._next_look = 0.0
        self.moved: Callable[[], None] = _nothing

    def look(self) -> None:
        """Ask the Sentinels in a thread, if they were not asked for a second."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._looked, self._next_look = now, now + _LOOK
        # Without a thread the next look is as good.
        with suppress(RuntimeError):
            threading.Thread(target=self._look, name="unsticky-look", daemon=True).start()

    def doubt(self) -> None:
        """Let the next `look` ask at once, or a tenth of a second after the last one."""
        self._next_look = min(self._next_look, self._looked + _LOOK / 10)

    def _look(self) -> None:
        with suppress(ConnectionError):
            self.get_master_address()

    def get_master_address(self) -> Address:
        """Return where the primary is. All Sentinels are asked at once.

        If none of them answers or knows it, it is where it was: a server that is no longer the
        primary refuses.

        Raises:
            ConnectionError: the Sentinels do not know, or say that it is down.
        """
        questions = _gathered([sentinel.asked() for sentinel in self._sentinels])
        failures = [failure for question in questions if (failure := question.exception())]
        answers = [question.result() for question in questions if not question.exception()]
        named = [answer for answer in answers if answer.others >= self._least]
        if named:
            newest = max(named, key=lambda answer: answer.epoch)
            if newest.is_down:
                raise ConnectionError("Sentinel has not yet replaced the primary, which is down")
            former, self._known = self._known, (self._host or newest.address[0], newest.address[1])
            if former not in {None, self._known}:
                self.moved()
            return self._known
        if answers:
            raise ConnectionError("no Sentinel sees as many others as min_other_sentinels says")
        if self._known is not None:
            return self._known
        for failure in failures:
            if isinstance(failure, _Refusal):
                raise ConnectionError(str(failure))
        raise ConnectionError(f"no Sentinel names a primary: {_reasons(failures)}")

    def forget(self) -> None:
        """Forget the questions of the parent process, whose threads are not in this one."""
        for sentinel in self._sentinels:
            sentinel.forget()


def confirm_primary(connection: Any) -> None:
    """Refuse a new connection that leads to a replica, which Sentinel named too early or too late.

    Raises:
        ConnectionError: the server says that it is a replica.
    """
    try:
        connection.send_command("HELLO")
        reply = connection.read_response(disable_decoding=True)
    except Exception as error:
        if isinstance(understood(error), ErrorReply):
            return  # the user has no right to ask; each script finds out, too
        raise
    if isinstance(reply, list) and b"replica" in reply[1::2]:
        raise ConnectionError("Sentinel named a server that is a replica")


def _nothing() -> None:
    """Do what is done if nobody wants to know."""


class _Answer(NamedTuple):
    """What one Sentinel knows: the primary, since which election, how many Sentinels there are."""

    address: Address
    epoch: int
    is_down: bool
    others: int


class _Refusal(Exception):
    """A Sentinel does not answer this question, and will not until somebody changes a setting."""


class _Sentinel:
    """One Sentinel, which is asked one question at a time: who asks meanwhile gets its answer."""

    def __init__(self, pool: Any, service: str, make: Callable[..., Any]) -> None:
        self._pool = pool
        self._service = service
        self._make = make
        self._asking: tuple[threading.Thread, Future[_Answer]] | None = None

    def asked(self) -> Future[_Answer]:
        """Ask, and return what will have the answer. A name lookup that hangs holds one thread."""
        if self._asking is not None:
            thread, future = self._asking
            # It has not begun yet, or has not ended.
            if thread.ident is None or thread.is_alive():
                return future
        future = Future()
        thread = threading.Thread(
            target=self._run, args=(future,), name="unsticky-sentinel", daemon=True
        )
        self._asking = thread, future
        try:
            thread.start()
        except RuntimeError as error:
            self._asking = None
            raise ConnectionError(f"no thread to ask with: {error}") from error
        return future

    def forget(self) -> None:
        """See `Primary.forget`."""
        self._asking = None

    def _run(self, future: Future[_Answer]) -> None:
        try:
            future.set_result(self._answer())
        except (OSError, _Refusal) as error:
            future.set_exception(error)

    def _answer(self) -> _Answer:
        try:
            address, state = self._replies()
        except Exception as error:
            failure = error if isinstance(error, ErrorReply) else understood(error)
            raise self._refusal(failure) from error
        if isinstance(address, ErrorReply):
            raise self._refusal(address)
        if address is None:
            raise _Refusal(f"{self} knows no service {self._service!r}: check the store's URL")
        return _read(address, state)

    def _replies(self) -> list[Any]:
        limits = {"socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS}
        made = self._make(self._pool, **limits)
        connection, service = Connection(made, 0), self._service.encode()
        # GET-MASTER-ADDR-BY-NAME says first whom a fail-over promoted, MASTER how sure that is.
        questions = packed(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", service)
        questions += packed(b"SENTINEL", b"MASTER", service)
        try:
            made.connect()
            return connection.ask_once(questions, 2, Deadline(_SECONDS))
        finally:
            connection.close()

    def _refusal(self, error: Exception) -> Exception:
        if not isinstance(error, ErrorReply):
            return error
        if "unknown command" in str(error):
            return _Refusal(f"{self} is no Sentinel, whose usual port is {PORT}: {error}")
        return _Refusal(f"{self} refused: {error}")

    def __str__(self) -> str:
        settings = self._pool.connection_kwargs
        return f"the Sentinel {settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


def _read(address: Any, state: Any) -> _Answer:
    """Return the answer in the replies to both questions; the second may have been refused."""
    try:
        named = (address[0].decode(), int(address[1]))
        if isinstance(state, ErrorReply):
            return _Answer(named, 0, is_down=False, others=0)
        known = dict(zip(state[::2], state[1::2], strict=True))
        # A Sentinel names a replica that it has promoted before it forgets the former primary.
        former = (known[b"ip"].decode(), int(known[b"port"])) != named
        is_down = b"o_down" in known[b"flags"] and not former
        epoch, others = int(known[b"config-epoch"]), int(known[b"num-other-sentinels"])
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise NotAReply("what came is no Sentinel's reply") from error
    return _Answer(named, epoch, is_down, others)


def _gathered(questions: list[Future[_Answer]]) -> list[Future[_Answer]]:
    """Return the questions that end in time, in their order."""
    end, waiting = time.monotonic() + _SECONDS, set(questions)
    answered = False
    while waiting and (left := end - time.monotonic()) > 0:
        done, waiting = wait(waiting, left, FIRST_COMPLETED)
        answered = answered or any(question.exception() is None for question in done)
        if answered and len(waiting) * 2 < len(questions):
            end = min(end, time.monotonic() + _GRACE)
    return [question for question in questions if question.done()]


def _reasons(failures: Iterable[BaseException]) -> str:
    reasons = {str(understood(failure)) for failure in failures}
    return "; ".join(sorted(reasons)) or "none answered in time"
