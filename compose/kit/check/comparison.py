"""What two processes of an application show: it corrects what its code says."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kit.check.findings import FOLDERS, SECRETS, Finding

_CLASSES = (
    ("CACHE_TYPE", "SimpleCache", "cache"),
    ("CACHE_TYPE", "FileSystemCache", "files"),
    ("RATELIMIT_STORAGE_URI", "MemoryStorage", "limit"),
)
"""Settings, the class that an extension must not use, and the kind."""

_SESSIONS = re.compile("filesystem|cachelib|simple|memory")
_LIMITS = {"postgresql": 100, "mysql": 151, "mariadb": 151}
"""How many connections a server allows unless it is configured otherwise."""
_POOL_SIZE, _OVERFLOW = 5, 10
"""SQLAlchemy's defaults."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The facts of two processes, and the places in the code where settings are given."""

    facts: Sequence[Mapping[str, Any]]
    given: Mapping[str, Finding]
    processes: int
    has_sessions: bool

    def corrected(self, found: Sequence[Finding]) -> list[Finding]:
        """Return the findings without those that are no problem here, and with new ones."""
        wrong = {finding.setting: finding for finding in self._wrong()}
        right = self._decided() - wrong.keys()
        kept = [finding for finding in found if finding.setting not in right]
        known = {finding.setting for finding in kept}
        kept += [finding for name, finding in wrong.items() if name not in known]
        places = {(finding.path, finding.line) for finding in kept}
        kept += [each for each in self._written() if (each.path, each.line) not in places]
        if not any(finding.kind == "scheduler" for finding in kept):
            kept += self._threads()
        return [*kept, *self._pools()]

    def _decided(self) -> set[str]:
        """Return the settings of which the processes show whether they are right."""
        first = self.facts[0]
        decided = {name for name, classes in first["extensions"].items() if classes}
        return decided | first["settings"].keys() | ({"sqlite"} if first["engines"] else set())

    def _wrong(self) -> Iterator[Finding]:
        first, second = self.facts
        for name, value in first["settings"].items():
            if SECRETS.fullmatch(name) and value != second["settings"].get(name):
                yield self._place("secret", name, f"{name} differs between two processes")
            if FOLDERS.fullmatch(name) and not value.startswith(("/", "./instance")):
                yield self._place("files", name, f"{name} is {value}")
        if self.has_sessions and not first["settings"].get("SECRET_KEY", "none of Flask's"):
            yield self._place("secret", "SECRET_KEY", "there is no SECRET_KEY for sessions")
        for name, wrong, kind in _CLASSES:
            if wrong in first["extensions"][name]:
                yield self._place(kind, name, f"{name} is {wrong}")
        managers = first["extensions"]["message_queue"]
        if managers and "PubSubManager" not in managers:
            yield self._place("socketio", "message_queue", "there is no message_queue")
        if _SESSIONS.fullmatch(kind := first["settings"].get("SESSION_TYPE") or ""):
            yield self._place("session", "SESSION_TYPE", f"SESSION_TYPE is {kind}")
        if any(engine["database"] == "sqlite" for engine in first["engines"]):
            yield self._place("sqlite", "sqlite", "the database is SQLite")

    def _written(self) -> Iterator[Finding]:
        for written, path, line in self.facts[0]["written"]:
            if path:
                yield Finding("files", Path(path), line, f"writes {written} when it starts")

    def _threads(self) -> Iterator[Finding]:
        for function, path, line in self.facts[0]["threads"]:
            where = Path(path) if path else None
            yield Finding("scheduler", where, line, f"a thread runs {function}()")

    def _pools(self) -> Iterator[Finding]:
        engines = [each for each in self.facts[0]["engines"] if each["database"] != "sqlite"]
        if "pool_size" in self.given and not self.facts[0]["engines"]:
            # The engine is made later, so only the code shows its pool.
            size, overflow = self._number("pool_size", _POOL_SIZE), self._number("max_overflow", _OVERFLOW)
            engines = [{"database": "postgresql", "most": size + overflow, "limit": None}]
        for engine in engines:
            most = engine["most"] * self.processes
            limit = engine["limit"] or _LIMITS.get(engine["database"], most)
            if most > limit:
                source = "the server's" if engine["limit"] else f"{engine['database']}'s default"
                what = f"{engine['most']} connections × {self.processes} processes > {limit}, {source}"
                names = ("pool_size", "SQLALCHEMY_DATABASE_URI", "url")
                name = next((name for name in names if name in self.given), "")
                yield self._place("pool", name, what)

    def _number(self, name: str, default: int) -> int:
        found = re.search(rf"\b{name}\W+(\d+)", self.given[name].what) if name in self.given else None
        return int(found[1]) if found else default

    def _place(self, kind: str, name: str, what: str) -> Finding:
        place = self.given.get(name) or Finding(kind, None, 0, what)
        return replace(place, kind=kind, what=what, setting=name)
