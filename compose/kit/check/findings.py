"""The kinds of what breaks on many processes: for each the reason, and what to do."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Kind:
    """What the findings of one kind have in common.

    Attributes:
        title: what is wrong, in a few words.
        why: what happens on many processes.
        hints: what to do, one sentence each.
        breaks: whether it loses or mixes up anything. If not, it costs time only.
    """

    title: str
    why: str
    hints: tuple[str, ...]
    breaks: bool = True


KINDS = {
    "secret": Kind(
        "a secret differs between processes, or there is none",
        "What one worker signs, the others reject: people are logged out, and forms fail.",
        (
            'read it from the environment: SECRET_KEY=os.environ["SECRET_KEY"]; '
            "the kit sets the same SECRET_KEY for all replicas",
        ),
    ),
    "cache": Kind(
        "a cache in the memory of each process",
        "A change that one worker makes is not seen on the others until the entry expires.",
        ("keep it in the store: CACHE_TYPE='RedisCache' (Flask-Caching), cachelib.RedisCache",),
    ),
    "limit": Kind(
        "a rate limit counts in each process",
        "A client may do as often as the limit says on each worker, and on each replica.",
        ("count in the store: RATELIMIT_STORAGE_URI=os.environ['REDIS_URL'] (Flask-Limiter)",),
    ),
    "state": Kind(
        "state in the memory of each process",
        "What one worker changes, the others do not see, and a restart loses it.",
        ("keep it in the session, the database or the store", "a constant: make it a tuple"),
    ),
    "scheduler": Kind(
        "a scheduler or a thread in every worker",
        "Each job runs once per worker and replica; with preloading it may run nowhere.",
        ("start it in one process of its own, beside the replicas: the `scheduler` service",),
    ),
    "tables": Kind(
        "tables or migrations are made when the application starts",
        "All workers do so at the same time: some fail, and a deployment waits for locks.",
        ("do it once per release: RELEASE_COMMAND='flask db upgrade'",),
    ),
    "sqlite": Kind(
        "SQLite",
        "One file on one host: a writer blocks all others, then `database is locked`.",
        (
            "use a database server: SQLALCHEMY_DATABASE_URI=os.environ['DATABASE_URL']",
            "on one host it can do: keep the file in DATA_DIR, which is Flask's instance folder",
        ),
    ),
    "files": Kind(
        "files beside the code, or relative to the working folder",
        "They end with the release, other hosts do not have them, and writers overwrite each other.",
        (
            "keep them in DATA_DIR (app.instance_path), in the database or in an object store",
            "write logs to standard error",
        ),
    ),
    "pool": Kind(
        "more database connections than the server allows",
        "Each process has a pool; together they may open more: `too many connections`.",
        ("make pool_size + max_overflow smaller, or put a pooler such as PgBouncer between",),
    ),
    "socketio": Kind(
        "Socket.IO without a message queue",
        "An event reaches only the clients that are connected to the same worker.",
        ("pass on events through the store: SocketIO(message_queue=os.environ['REDIS_URL'])",),
    ),
    "session": Kind(
        "sessions in files or in memory",
        "Other hosts do not have them, and writers overwrite each other's changes.",
        ("keep them in the store: Unsticky(app) in place of Session(app)",),
    ),
    "writes": Kind(
        "each request writes to the database",
        "Requests of one user wait for each other's row, and a page of 20 requests writes 20 times.",
        ("write only if the last time is older than a minute",),
        breaks=False,
    ),
}

SECRETS = re.compile(r"([A-Z0-9]+_)*SECRET(_KEY)?|[A-Z_]*PASSWORD_SALT|secret_key|jwt_secret")
"""The names of settings whose value all processes must share."""

FOLDERS = re.compile(r"UPLOAD\w*_(FOLDER|DIR|PATH|DEST)|\w*FILE_DIR|CACHE_DIR|\w*MEDIA_(ROOT|DIR)")
"""The names of settings that say where files are written."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that breaks on many processes.

    Attributes:
        kind: a key of `KINDS`.
        path: relative to the application's folder; None if the place is not known.
        what: the code that was found, and what it does.
        setting: the setting that decides; running the application shows its value.
    """

    kind: str
    path: Path | None
    line: int
    what: str
    setting: str = ""

    @property
    def place(self) -> str:
        """Where it was found, as editors understand it."""
        return f"{self.path}:{self.line}: " if self.path else ""
