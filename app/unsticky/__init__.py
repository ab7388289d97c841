"""Server-side sessions for Flask on which concurrent requests neither lose nor revive anything.

    from unsticky import Unsticky
    sessions = Unsticky(app)

`flask.session` then is a `Session`: a mapping as before, with atomic `incr` and `map`, `rotate`,
`bind` and `destroy`. What is promised, and what is not, stands in the project's guarantees.
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
from .session import Session
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
from .transaction import transaction
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
    "StoreUnavailable",
    "Unmergeable",
    "Unserializable",
    "Unsticky",
    "problem",
    "session_conflict",
    "session_created",
    "session_destroyed",
    "session_expired",
    "session_revival_prevented",
    "session_revoked",
    "session_rotated",
    "transaction",
    "unknown_id",
]
