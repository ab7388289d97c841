"""Server-side sessions for Flask in which concurrent requests lose and revive nothing.

    from unsticky import Unsticky
    sessions = Unsticky(app)

`flask.session` then is a `Session`: a mapping as before, with atomic `incr` and `map`, `rotate`,
`bind` and `destroy`. The project's guarantees say what is promised, and what is not.
"""

from .errors import (
    ConfigurationError,
    Conflict,
    OutcomeUnknown,
    OutOfRange,
    SessionError,
    SessionGone,
    StaleCredential,
    StoreUnavailable,
    Unserializable,
)
from .extension import Unsticky
from .maps import SessionMap
from .merge import ABSENT, Unmergeable
from .problem import problem
from .session import Session, session
from .signals import (
    session_conflict,
    session_created,
    session_destroyed,
    session_expired,
    session_revival_prevented,
    session_revoked,
    session_rotated,
    unknown_id,
)
from .state import Counters
from .stores.base import Store
from .transaction import transact, transaction
from .user_sessions import SessionInfo

__all__ = [
    "ABSENT",
    "ConfigurationError",
    "Conflict",
    "Counters",
    "OutOfRange",
    "OutcomeUnknown",
    "Session",
    "SessionError",
    "SessionGone",
    "SessionInfo",
    "SessionMap",
    "StaleCredential",
    "Store",
    "StoreUnavailable",
    "Unmergeable",
    "Unserializable",
    "Unsticky",
    "problem",
    "session",
    "session_conflict",
    "session_created",
    "session_destroyed",
    "session_expired",
    "session_revival_prevented",
    "session_revoked",
    "session_rotated",
    "transact",
    "transaction",
    "unknown_id",
]
