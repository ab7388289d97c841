"""What two processes of an application are: it corrects what its code says."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kit.check.findings import FOLDERS, SECRETS, Finding

_CLASSES = (
    ("cache", "CACHE_TYPE", "SimpleCache"),
    ("files", "CACHE_TYPE", "FileSystemCache"),
    ("limit", "RATELIMIT_STORAGE_URI", "MemoryStorage"),
)
"""Settings, and the class that they must not choose."""

_SESSIONS = re.compile("filesystem|cachelib|simple|memory")
_LIMITS = {"postgresql": 100, "mysql": 151, "mariadb": 151}
"""How many connections a server allows unless it is configured otherwise."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The facts of two processes, and where the code gives settings.

    Attributes:
        processes: how many workers there are, all replicas together.
        has_sessions: whether the code uses Flask's sessions.
    """

    facts: Sequence[Mapping[str, Any]]
    given: Mapping[str, Finding]
    processes: int
    has_sessions: bool

    def corrected(self, found: Sequence[Finding]) -> list[Finding]:
        """Return the findings, without those that are right here, and with what only runs show."""
        first = self.facts[0]
        wrong = {finding.setting: finding for finding in self._wrong()}
        decided = {name for name, classes in first["classes"].items() if classes}
        decided |= {*first["settings"], *(["sqlite"] if first["engines"] else [])}
        kept = [f for f in found if f.setting in wrong or f.setting not in decided]
        known = {finding.setting for finding in kept}
        kept += [finding for name, finding in wrong.items() if name not in known]
        code = "".join(finding.what for finding in kept)
        for path in map(Path, first["written"]):
            if path.parts[0] != "instance" and path.name not in code and path.suffix:
                kept.append(Finding("files", None, 0, f"it writes {path} when it starts"))
        if not any(finding.kind == "scheduler" for finding in kept):
            for function, path, line in first["threads"]:
                what = f"a thread runs {function}"
                kept.append(Finding("scheduler", Path(path) if path else None, line, what))
        if first["failed"]:
            what = f"of two processes that start at once, one fails: {first['failed']}"
            kept.append(Finding("tables", None, 0, what))
        return [*kept, *self._pools()]

    def _wrong(self) -> Iterator[Finding]:
        """Yield what is wrong with the settings that both processes have."""
        first, second = self.facts
        settings, classes = first["settings"], first["classes"]
        for name, value in settings.items():
            if SECRETS.fullmatch(name) and value != second["settings"].get(name):
                yield self._at("secret", name, "two processes have different values")
            if FOLDERS.fullmatch(name) and not str(value).startswith(("/", "./instance")):
                yield self._at("files", name, f"{name} is {value}")
        if self.has_sessions and not settings.get("SECRET_KEY", "of another framework"):
            yield self._at("secret", "SECRET_KEY", "there is no SECRET_KEY for the sessions")
        for kind, name, wrong in _CLASSES:
            if wrong in classes[name]:
                yield self._at(kind, name, f"it uses {wrong}")
        if classes["message_queue"] and "PubSubManager" not in classes["message_queue"]:
            yield self._at("socketio", "message_queue", "there is no message_queue")
        if _SESSIONS.fullmatch(settings.get("SESSION_TYPE", "")):
            yield self._at("session", "SESSION_TYPE", f"SESSION_TYPE is {settings['SESSION_TYPE']}")
        if any(engine["database"] == "sqlite" for engine in first["engines"]):
            yield self._at("sqlite", "sqlite", "the database is SQLite")

    def _pools(self) -> Iterator[Finding]:
        for engine in self.facts[0]["engines"]:
            database, most = engine["database"], engine["most"]
            limit = engine["limit"] or _LIMITS.get(database, most * self.processes)
            if most * self.processes > limit:
                names = ("pool_size", "SQLALCHEMY_ENGINE_OPTIONS", "SQLALCHEMY_DATABASE_URI", "url")
                name = next(filter(self.given.__contains__, names), "")
                what = f"{self.processes} processes × {most} connections; {database} allows {limit}"
                yield self._at("pool", name, what)

    def _at(self, kind: str, name: str, what: str) -> Finding:
        place = self.given.get(name, Finding(kind, None, 0, ""))
        return replace(place, kind=kind, what=what, setting=name)
