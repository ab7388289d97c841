"""The life of a session, as far as one request knows it: does it exist, did it end, what is its id.

What an answer of the store to a write makes of the state is decided here; `stored_session` decides
it for a load and an adoption.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple, TypeAlias

from ..cookie import Reference, Token
from ..errors import OutcomeUnknown, SessionError, SessionGone
from ..limits import TOMBSTONE_LIFETIME_MS
from ..request_facts import RequestFacts
from ..state import ExtensionState
from ..stores.base import Destroy, Gone, Missing, Move, Record, Written

_TOO_LATE_SECONDS: Final = TOMBSTONE_LIFETIME_MS / 1000 - 5
"""A request that runs longer than this may find that its session's tombstone expired. It can then
not tell a rotated session from one that never existed, so it starts none and sends no cookie."""


class Presence(Enum):
    """What is known of a session that is neither absent nor ended."""

    NOT_LOADED = auto()
    ALIVE = auto()
    UNAVAILABLE = auto()
    """The store could not be reached, and the view can live without it."""


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no session, so the first write starts a new one: under the id `emptied`, if any.

    A session that ended because it held nothing was bound to nobody. All requests that write now
    start the same one again.
    """

    emptied: Token | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The session was rotated, or it ended while this request held it; `kind` says how.

    The browser may hold a newer cookie already. So this request starts none and sends no cookie.
    """

    kind: str


State: TypeAlias = Presence | Absent | Ended


class CookieAction(Enum):
    """What the response does to the browser's cookie."""

    LEAVE = auto()
    SEND = auto()
    DELETE = auto()


class Cookie(NamedTuple):
    """What the response sets the browser's cookie to.

    Attributes:
        value: empty to delete it.
        max_age: seconds; 0 to delete it, None to keep it until the browser closes.
    """

    value: str
    max_age: int | None


class Rotation(NamedTuple):
    """A new id for the session, which may bind or unbind it, too; `token` is for the cookie."""

    move: Move
    token: Token


class Lifecycle:
    """See the module. `stored_session.StoredSession` adds the calls to the store.

    Attributes:
        facts: the request.
        token: what the cookie holds, or will hold; None while there is no session.
        state: what is known of the session.
        record: when the session was created and how long it may live; None while not known. `slid`:
            this request moved its idle limit.
        created: this request created the session.
        cookie: what the response does to the browser's cookie.
        seen_alive: the session existed at some time during this request.
        user: the user whom the session is bound to; None for nobody, or while not known.
        logged_out: this request unbound or ended the session.
    """

    def __init__(self, extension: ExtensionState, tokens: list[Token], facts: RequestFacts) -> None:
        self.facts = facts
        # A browser may send several cookies of this name, of which the first may be stale.
        self.token: Token | None = tokens[0] if tokens else None
        self._others = tokens[1:]
        # Where the browser's session was, if this request found that it had ended.
        self._ended_before: Reference | None = None
        self.state: State = Presence.NOT_LOADED if tokens else Absent()
        self.record: Record | None = None
        self.created = False
        self.cookie = CookieAction.LEAVE
        self.seen_alive = False
        self.user: str | None = None
        self.logged_out = False
        self._extension = extension

    # What is known.

    @property
    def retry(self) -> Callable[[], None] | None:
        """Start another run of the request; None if that is not possible.

        A request that changed which session the browser holds cannot run again: with the old
        cookie it would find that session gone.
        """
        return self.facts.retry if self.cookie is CookieAction.LEAVE else None

    @property
    def may_drop(self) -> bool:
        """Whether the changes of this request may be dropped because its session moved on.

        It asked for a page while another request logged in or out, and never saw the session alive.
        What it wrote, such as a token for a form, was not acknowledged to anybody.
        """
        state = self.state
        rotated = isinstance(state, Ended) and state.kind == "rotated"
        return rotated and self.facts.is_safe and not self.seen_alive

    @property
    def state_name(self) -> str:
        """What is known of the session, in a word for people."""
        name: str = getattr(self.state, "name", type(self.state).__name__)
        return name.lower().replace("_", " ")

    @property
    def ends_at(self) -> int:
        """The session's absolute limit in seconds since 1970, 0 for none."""
        if self.record is not None:
            return -(-self.record.ends_at // 1000)
        return self.token.ends_at if self.token is not None else 0

    @property
    def is_undecided(self) -> bool:
        """Whether several cookies came, and it is not known yet which one counts."""
        return self.state is Presence.NOT_LOADED and bool(self._others)

    def cookie_due(self, permanent: bool, *, refresh: bool) -> Cookie | None:  # noqa: FBT001 (a value)
        """Return the cookie that the response sets; None to leave the browser's as it is.

        A cookie is sent again if it was signed with an earlier secret, or says something that is
        not true any more, or this request slid a permanent session and `refresh`, Flask's
        `SESSION_REFRESH_EACH_REQUEST`, is on.
        """
        token = self.token
        if token is None:
            return Cookie("", 0) if self.cookie is CookieAction.DELETE else None
        ends_at = self.ends_at
        if self.cookie is not CookieAction.SEND and not (
            self.state is Presence.ALIVE
            and (
                token.outdated
                or permanent != token.permanent
                or ends_at != token.ends_at
                or (refresh and permanent and self.record is not None and self.record.slid)
            )
        ):
            return None
        idle = (self.record and self.record.idle) or self._extension.lifetimes.idle
        value = self._extension.ring.sign(token, ends_at, permanent=permanent)
        return Cookie(value, idle // 1000 if permanent else None)

    def take_up(self) -> None:
        """Hold an emptied session again, which another request may have started again since."""
        if isinstance(self.state, Absent) and self.state.emptied is not None:
            self.token = self.state.emptied
            self.state = Presence.ALIVE if self.seen_alive else Presence.NOT_LOADED

    def leave(self) -> None:
        """Treat the session as rotated by another request: write nothing, send no cookie."""
        if not isinstance(self.state, Ended):
            self.state = Ended("rotated")

    def announce(self, event: str, **detail: object) -> None:
        """Send a signal about this session, with its user if that is known."""
        if self.user is not None:
            detail["user"] = self.user
        reference = self.token.reference if self.token is not None else None
        self._extension.announce(event, reference, self.facts.request_id, **detail)

    def _required_token(self) -> Token:
        if self.token is None:
            raise SessionError("there is no session")
        return self.token

    # What an answer of the store makes of the state.

    def _tries_another(self, outcome: Missing | Gone) -> bool:
        """Go on where the browser's session may be, too, if it is not where it was looked for.

        That is under an earlier pepper, or what the next cookie names.
        """
        if self.state is not Presence.NOT_LOADED:
            return False
        if isinstance(outcome, Gone):
            self._others_are_other_ids()
        if not self._others:
            return False
        self.token = self._others.pop(0)
        return True

    def _others_are_other_ids(self) -> None:
        """Forget where else this id may be: an id is stored under one pepper."""
        if self._others and self.token is not None:
            here = self.token.identifier
            self._others = [token for token in self._others if token.identifier != here]

    def _is_late(self, outcome: Missing | Gone) -> bool:
        late = time.monotonic() - self.facts.began > _TOO_LATE_SECONDS
        return late and isinstance(outcome, Missing)

    def _follow(self, outcome: Written, finish: Destroy | Rotation) -> None:
        if isinstance(finish, Destroy):
            self._ended(by_request=finish.kind != "emptied")
            return
        previous = self._required_token()
        self.token = finish.token._replace(permanent=previous.permanent)
        self.cookie = CookieAction.SEND
        if finish.move.bind is not None:
            self.user = finish.move.bind.name.decode()
        self.announce("session_rotated", previous=previous.reference.handle)
        if finish.move.unbind:
            self.user, self.logged_out = None, True
        self._announce_ended(outcome.ended)

    def _announce_ended(self, references: tuple[Reference, ...]) -> None:
        for ended in references:
            self._extension.announce(
                "session_revoked", ended, self.facts.request_id, reason="limit", user=self.user
            )

    def _found(self, record: Record) -> None:
        self._others_are_other_ids()
        self.state = Presence.ALIVE
        self.seen_alive = True
        if self.cookie is CookieAction.DELETE:
            self.cookie = CookieAction.SEND  # emptied, and started again by another request
        slid = record.slid or (self.record is not None and self.record.slid)
        self.record = record._replace(slid=slid)
        if record.user is not None:
            self.user = record.user.decode() or None

    def _forget(self, *, emptied: bool = False) -> None:
        self.state = Absent(self.token if emptied else None)
        self.token = None
        self.record = None
        self.user = None

    def _lost(self, outcome: Missing | Gone) -> None:
        """Refuse if the session was alive in this request; otherwise a new one may start.

        Refuse, too, if this request was sent before and had changed the session: a new one would
        get the same changes a second time.
        """
        if isinstance(outcome, Gone) and outcome.done:
            self.state = Ended(outcome.kind)
            raise OutcomeUnknown(
                f"this request, sent before, had changed the session before it was {outcome.kind}"
            )
        seen_alive = self.state is Presence.ALIVE
        if isinstance(outcome, Missing):
            if seen_alive or self._is_late(outcome):
                raise self._prevented("expired")
            # The cookie was signed here, so there was a session.
            self.announce("session_expired", kind="idle")
            self._forget()
        elif outcome.kind == "emptied":
            self._forget(emptied=True)
        else:
            if seen_alive or outcome.kind == "rotated":
                raise self._prevented(outcome.kind)
            if self.token is not None:
                self._ended_before = self.token.reference
            self._forget()

    def _prevented(self, kind: str) -> SessionGone:
        self.state = Ended(kind)
        self.cookie = CookieAction.LEAVE
        self._extension.counters.revivals_prevented += 1
        self.announce("session_revival_prevented", kind=kind)
        return SessionGone(kind)

    def _ended(self, *, by_request: bool = True) -> None:
        self.announce("session_destroyed")
        self.cookie = CookieAction.DELETE if self.facts.has_cookie else CookieAction.LEAVE
        self.created = False
        self.logged_out = self.logged_out or by_request
        self._forget(emptied=not by_request)
