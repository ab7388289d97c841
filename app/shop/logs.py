"""The application's log: one JSON object a line on standard error."""

import json
import logging
import os
from datetime import UTC, datetime

from shop.context import request_id, trace_id


class JsonFormatter(logging.Formatter):
    """Format a record as a JSON object that names the request and the worker."""

    def __init__(self, replica: str) -> None:
        super().__init__()
        self._replica = replica

    def format(self, record: logging.LogRecord) -> str:
        """Return the object; `exception` holds the trace if there is one."""
        entry = {
            "time": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "log": record.name,
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "request_id": request_id(),
            "served_by": f"{self._replica}/{os.getpid()}",
        }
        if trace := trace_id():
            entry["trace_id"] = trace
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure(replica: str) -> None:
    """Send the logs of all libraries, from INFO on, through a JsonFormatter.

    A second call only changes the replica's name.
    """
    root = logging.getLogger()
    handler = next((h for h in root.handlers if isinstance(h.formatter, JsonFormatter)), None)
    if handler is None:
        handler = logging.StreamHandler()
        root.addHandler(handler)
        root.setLevel(logging.INFO)
    handler.setFormatter(JsonFormatter(replica))


def rfc3339(time: datetime) -> str:
    """Return an aware time as RFC 3339, in UTC, such as 2026-01-31T09:30:00.000Z."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
