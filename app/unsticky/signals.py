"""What happens to sessions, sent as blinker signals and written to the log `unsticky.audit`.

The sender of each signal is the application. It comes with `handle`, `request_id`, and `user` if
the session is known to be bound to one; never with an id.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from blinker import Namespace
from flask import Flask

from .cookie import Reference

_namespace = Namespace()

session_created: Final = _namespace.signal("session-created")
session_rotated: Final = _namespace.signal("session-rotated")
session_destroyed: Final = _namespace.signal("session-destroyed")
session_revoked: Final = _namespace.signal("session-revoked")
session_expired: Final = _namespace.signal("session-expired")
session_conflict: Final = _namespace.signal("session-conflict")
session_revival_prevented: Final = _namespace.signal("session-revival-prevented")
unknown_id: Final = _namespace.signal("unknown-id")

_audit = logging.getLogger("unsticky.audit")


class Announcer:
    """Sends the signals of an application."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def __call__(
        self, event: str, reference: Reference | None, request_id: str, **detail: object
    ) -> None:
        """Send the signal `event`; without a `reference` to a session, the handle is empty."""
        handle = "" if reference is None else reference.handle
        if _audit.isEnabledFor(logging.INFO):
            facts = {"event": event, "handle": handle, "request_id": request_id, **detail}
            _audit.info("%s %s", event, handle, extra={"unsticky": facts})
        signal = _namespace[event.replace("_", "-")]
        if signal.receivers:
            sent: dict[str, Any] = {"handle": handle, "request_id": request_id, **detail}
            signal.send(self._app, **sent)
