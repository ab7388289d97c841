"""What the fuzzer's requests run in: a store that is watched and may fail, and what it holds."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast

from flask import Flask
from unsticky import OutcomeUnknown, Session, StoreUnavailable
from unsticky.codec import decode
from unsticky.cookie import Reference
from unsticky.fields import MAP, entry_key, map_prefix, name_of
from unsticky.stores.base import Deadline, Move, Record, Store, WriteOutcome
from unsticky.stores.memory import MemoryStore

from tests.support.browsers import Browser, InFlight, Site, make_site
from tests.support.stores.places import CAPS, Memory, Place

Fields: TypeAlias = dict[str, Any]
"""Values by `name`, or for a map's entry by `map.key`."""


class Absent(Enum):
    """The value of a field that is not there."""

    ABSENT = auto()


ABSENT: Final = Absent.ABSENT


NOTHING: Final[Fields] = {}
"""What a session holds that does not exist."""


@dataclass(frozen=True)
class State:
    """What the store holds of one living session."""

    fields: Fields
    user: str
    idle: int | None


class Watched:
    """A store that says which sessions were written to, and fails where a case says so.

    Attributes:
        inner: the store itself.
        touched: the references that may have changed since this was last emptied.
        fault: what befalls the write of number `countdown`, 0 being the next one: `lost` (applied,
            and the answer is lost), `unsent` (refused before it was sent), `twice` (sent again
            under the same operation, as the client does after a lost answer).
        fired: whether it did.
        moved_to: where a session was moved or begun in this step, or was to be.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.touched: set[Reference] = set()
        self.fault, self.countdown, self.fired = "", 0, False
        self.moved_to: Reference | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def arm(self, fault: str, countdown: int) -> None:
        """Let the write of this number fail."""
        self.fault, self.countdown, self.fired = fault, countdown, False
        self.moved_to = None

    def write(self, reference: Reference, *arguments: Any, **options: Any) -> WriteOutcome:
        """See `Store.write`."""
        self.touched.add(reference)
        finish = options.get("finish")
        if isinstance(finish, Move):
            self.touched.add(finish.to)
            self.moved_to = finish.to
        elif options.get("create"):
            self.moved_to = reference

        def send() -> WriteOutcome:
            return self.inner.write(reference, *arguments, **options)

        return self._befall(send) if self.fault else send()

    def _befall(self, send: Callable[[], WriteOutcome]) -> WriteOutcome:
        self.countdown -= 1
        if self.countdown >= 0:
            return send()
        fault, self.fault, self.fired = self.fault, "", True
        if fault == "unsent":
            message = "the case says so"
            raise StoreUnavailable(message)
        answer = send()
        if fault == "lost":
            message = "the case says so"
            raise OutcomeUnknown(message)
        return send() if fault == "twice" else answer


@dataclass
class World:
    """A site, and what its store was seen to hold.

    Attributes:
        site: the application and its sessions.
        store: where they are kept.
        now: the number of the step under way.
        states: what each session holds, None where it ended.
        history: since which step each session held what, oldest first.
    """

    site: Site
    store: Watched
    now: int = 0
    states: dict[Reference, State | None] = field(default_factory=dict)
    history: dict[Reference, list[tuple[int, State | None]]] = field(default_factory=dict)

    def begin(self, cookie: str | None, request_id: str) -> tuple[Session, dict[str, Any]]:
        """Let a request arrive; return its session and its environment."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/",
            "QUERY_STRING": "",
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost",
            "HTTP_X_REQUEST_ID": request_id,
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
        }
        if cookie:
            environ["HTTP_COOKIE"] = f"session={cookie}"
        app: Flask = self.site.app
        opened = app.session_interface.open_session(app, app.request_class(environ))
        assert isinstance(opened, Session)
        return opened, environ

    def look(self) -> None:
        """Learn what the sessions hold that may have changed."""
        for reference in self.store.touched:
            state = self.held(reference)
            if reference not in self.history or self.states[reference] != state:
                self.states[reference] = state
                self.history.setdefault(reference, []).append((self.now, state))
        self.store.touched.clear()

    def held(self, reference: Reference) -> State | None:
        """Return what the store holds of a session, None where it has ended or never began."""
        lifetimes = self.site.sessions.state.lifetimes
        found = self.store.inner.read(reference, lifetimes, Deadline(5.0), slide=False)
        if not isinstance(found, Record):
            return None
        fields = {friendly(name): decode(data) for name, data in (found.fields or {}).items()}
        return State(fields, (found.user or b"").decode(), found.idle)

    def versions(self, reference: Reference, since: int) -> list[State | None]:
        """Return what a session held at one time or another since that step."""
        history = self.history.get(reference, [])
        first = max((at for at, (when, _) in enumerate(history) if when < since), default=0)
        return [state for _, state in history[first:]]


def fresh_world(place: Place, kept: Site | None = None) -> World:
    """Return a world in which nothing has happened.

    Args:
        place: where sessions are kept.
        kept: an application that served an earlier world here, which spares making another.
    """
    site = kept or make_site(place, UNSTICKY_REQUEST_ID_HEADER="X-Request-ID")
    state = site.sessions.state
    inner: Any = getattr(state.store, "inner", state.store)
    if isinstance(place, Memory):
        inner = MemoryStore(CAPS)
    store = Watched(inner)
    state.store = cast("Store", store)
    return World(site, store)


def answered(world: World, session: Session, environ: dict[str, Any], error: Exception) -> None:
    """Let Flask answer what a view raised, as it does before it saves the session."""
    context: Any = world.site.app.request_context(environ)
    # Flask has no public way to give one; the attribute's name changed with a release.
    setattr(context, "session" if "session" in vars(context) else "_session", session)
    with context:
        world.site.app.handle_user_exception(error)


def in_flight(world: World, session: Session) -> InFlight:
    """Return a request that can be ended."""
    return InFlight(Browser(world.site.app), session)


@lru_cache(maxsize=4096)
def friendly(name: bytes) -> str:
    """Return a field's name as `name`, or `map.key`."""
    text = name_of(name)
    if name[:1] != MAP:
        return text
    return f"{text}.{entry_key(map_prefix(text), name)}"
