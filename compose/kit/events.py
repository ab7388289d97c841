"""What happened to the stack, for reports: one JSON object a line."""

import json
from datetime import UTC, datetime
from pathlib import Path


def append(path: Path, kind: str, target: str, detail: str = "") -> None:
    """Append ``{"time", "kind", "target", "detail"}``; the time is RFC 3339 UTC with ms."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line = json.dumps({"time": time, "kind": kind, "target": target, "detail": detail})
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
