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
        hint: what to do.
        breaks: whether something is lost or wrong. If not, it only costs time.
    """

    title: str
    why: str
    hint: str
    breaks: bool = True


KINDS = {
    "secret": Kind(
        "a secret differs between processes, or is missing",
        "What one worker signs, the others reject: people are logged out, and forms fail.",
        "read it from the environment: SECRET_KEY=os.environ['SECRET_KEY'], which the kit sets",
    ),
    "cache": Kind(
        "a cache in the memory of each process",
        "After a change, other workers show the old value until it expires.",
        "keep it in the store: CACHE_TYPE='RedisCache' (Flask-Caching), cachelib.RedisCache",
    ),
    "limit": Kind(
        "a rate limit counts in each process",
        "Each worker allows as many requests as the limit says.",
        "count in the store: RATELIMIT_STORAGE_URI=os.environ['REDIS_URL'] (Flask-Limiter)",
    ),
    "state": Kind(
        "state in the memory of each process",
        "What one worker changes, the others do not see, and a restart loses it.",
        "keep it in the session, the database or the store",
    ),
    "scheduler": Kind(
        "a scheduler or a thread in every worker",
        "Each job runs as often as there are workers.",
        "start it in one process beside the replicas",
    ),
    "tables": Kind(
        "tables or migrations are made when the application starts",
        "All workers do so at the same time, and some fail.",
        "do it once per release: RELEASE_COMMAND='flask db upgrade'",
    ),
    "sqlite": Kind(
        "SQLite",
        "A writer blocks all others (`database is locked`), and other hosts do not have the file.",
        "use a database server; on one host, few writes may work: keep the file in DATA_DIR",
    ),
    "files": Kind(
        "files beside the code, or relative to the working folder",
        "They end with the release, and other hosts do not have them.",
        "keep them in DATA_DIR (app.instance_path) or in an object store; log to standard error",
    ),
    "pool": Kind(
        "more database connections than the server allows",
        "Each process has a pool, and all together they fail with `too many connections`.",
        "make pool_size and max_overflow smaller: a sync worker uses one connection",
    ),
    "socketio": Kind(
        "Socket.IO without a message queue",
        "An event reaches only the clients of the same worker.",
        "connect the workers: SocketIO(message_queue=os.environ['REDIS_URL'])",
    ),
    "session": Kind(
        "sessions in files or in memory",
        "Other hosts do not have them, and two requests at once overwrite each other's changes.",
        "keep them in the store: Unsticky(app) in place of Session(app)",
    ),
    "writes": Kind(
        "each request writes to the database",
        "A page of 20 requests writes 20 times, and the requests of one user wait for each other.",
        "write only if the last time is older than a minute",
        breaks=False,
    ),
}

SECRETS = re.compile(r"([A-Z0-9]+_)*SECRET(_KEY)?|[A-Z_]*PASSWORD_SALT|jwt_secret")
"""The names of settings whose value all processes must share."""

FOLDERS = re.compile(r"UPLOAD\w*_(FOLDER|DIR|PATH|DEST)|\w*FILE_DIR|CACHE_DIR|MEDIA_(ROOT|DIR)")
"""The names of settings that say where files are written."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that breaks on many processes.

    Attributes:
        kind: a key of `KINDS`.
        path: relative to the application's folder; None if the place is not known.
        what: the line of code, or what a process shows.
        setting: the setting that decides.
    """

    kind: str
    path: Path | None
    line: int
    what: str
    setting: str = ""
