"""Sessions in MongoDB: a server of the stack's own, or one that the caller named.

The kit's own is a replica set of one, because the session library needs a majority and
transactions. It listens on this machine only, and lets in nobody without the password. PyMongo is
in the environment of each stack that needs it.
"""

import importlib
import json
import secrets
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from kit.errors import KitError
from kit.local.sentinel import free_ports, is_free
from kit.settings import Settings
from kit.state import StateFolder, write_private
from kit.system import logs
from kit.system.readiness import Answer

NAME: Final = "mongodb"

_USER: Final = "unsticky"
_ANSWER_SECONDS: Final = 2
_ASK_SECONDS: Final = 30
# AlreadyInitialized, and that the user exists: Unauthorized, or as a duplicate without logins.
_DONE_BEFORE: Final = {23, 13, 11000, 51003}
_COMMAND: Final = """\
--dbpath {data} --replSet unsticky --keyFile {key} --bind_ip 127.0.0.1 --port {port} --nounixsocket
--wiredTigerCacheSizeGB 0.25 --setParameter shutdownTimeoutMillisForSignaledShutdown=1000
"""
# As a replica would: it makes the collections, too, which needs rights.
_ASK: Final = """\
import sys
from flask import Flask
from unsticky import SessionError, Unsticky
from unsticky.errors import ConfigurationError
app = Flask("ask")
app.config.update(SECRET_KEY="not a secret: it signs nothing", UNSTICKY_DEADLINE=5)
try:
    Unsticky(app).ping()
except (ConfigurationError, SessionError) as error:
    sys.exit(str(error))
"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The server of one state folder: where it listens, and the password of its only user."""

    port: int
    password: str

    @property
    def url(self) -> str:
        """What the session library takes."""
        user = f"{_USER}:{self.password}"
        return f"mongodb://{user}@127.0.0.1:{self.port}/{_USER}?authSource=admin"


def recorded(state: StateFolder) -> Recorded:
    """Return what is recorded of the state folder's server; record it first."""
    path = state.data / "mongodb.json"
    if not path.exists():
        found = Recorded(next(free_ports()), secrets.token_hex(32))
        write_private(path, json.dumps(asdict(found)))
    return Recorded(**json.loads(path.read_text(encoding="utf-8")))


def command(program: Path, state: StateFolder) -> tuple[str, ...]:
    """Return the command of the server, and make the folder and the file that it needs.

    With a key file, a server lets in its users only.
    """
    data, key = state.data / NAME, state.data / "mongodb.key"
    data.mkdir(mode=0o700, exist_ok=True)
    if not key.exists():
        write_private(key, secrets.token_hex(32))
    given = {"data": str(data), "key": str(key), "port": str(recorded(state).port)}
    return (str(program), *(word.format(**given) for word in _COMMAND.split()))


def prepare(settings: Settings, state: StateFolder, running: Collection[str]) -> None:
    """Refuse a start of the kit's own server if another program has taken its port.

    Its replica set knows it by that port.
    """
    if not settings.mongod_bin or not settings.in_mongodb or NAME in running:
        return
    if not is_free(port := recorded(state).port):
        raise KitError(
            f"port {port} of the kit's MongoDB is in use by another program",
            "end that program; the replica set in the stack's folder knows this port only",
        )


def require(python: Path, folder: Path, env: Mapping[str, str]) -> None:
    """Open the caller's server as a replica would.

    Raises:
        KitError: with the session library's own reason, if sessions cannot be there.
    """
    try:
        asked = subprocess.run(
            [python, "-c", _ASK],
            check=False,
            cwd=folder,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ASK_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise _refusal(f"no answer within {_ASK_SECONDS} s") from error
    if asked.returncode:
        raise _refusal(logs.last_words(asked.stderr.splitlines()))


def probe(state: StateFolder) -> Answer:
    """Ask whether the kit's server takes writes; at its first start, make its set and its user."""
    pymongo = importlib.import_module("pymongo")
    server = recorded(state)
    place = f"127.0.0.1:{server.port}"
    try:
        with pymongo.timeout(_ANSWER_SECONDS), _client(pymongo, f"mongodb://{place}/") as nobody:
            hello = nobody.admin.command("hello")
            if "setName" not in hello and not hello.get("isreplicaset"):
                return Answer("it is not a replica set: it ignores --replSet", is_final=True)
            if "setName" not in hello:
                member = {"_id": 0, "host": place}
                begun = {"_id": _USER, "members": [member]}
                _attempt(pymongo, nobody, "replSetInitiate", begun)
            if not hello.get("isWritablePrimary"):
                return Answer("its replica set has no primary yet")
            roles = [{"role": "readWrite", "db": _USER}]
            _attempt(pymongo, nobody, "createUser", _USER, pwd=server.password, roles=roles)
        with pymongo.timeout(_ANSWER_SECONDS), _client(pymongo, server.url) as client:
            client[_USER].list_collection_names()
    except pymongo.errors.OperationFailure as error:
        return Answer(f"it refuses: {(error.details or {}).get('codeName', error.code)}")
    except pymongo.errors.PyMongoError as error:
        return Answer(f"it does not answer ({type(error).__name__})")
    return Answer()


def described(settings: Settings) -> str:
    """Return what `make up` prints about the place of the sessions."""
    return "yours, at MONGODB_URL" if settings.mongodb_url else "MongoDB (`make down` keeps it)"


def _client(pymongo: Any, url: str) -> Any:
    milliseconds = 1000 * _ANSWER_SECONDS
    # Directly: a server whose set has not begun yet is no member of one.
    return pymongo.MongoClient(
        url, directConnection=True, serverSelectionTimeoutMS=milliseconds, maxPoolSize=1
    )


def _attempt(pymongo: Any, client: Any, *words: Any, **options: Any) -> None:
    """Run a command that only a server without users takes from this machine without a login."""
    try:
        client.admin.command(*words, **options)
    except pymongo.errors.OperationFailure as error:
        if error.code not in _DONE_BEFORE:
            raise


def _refusal(reason: str) -> KitError:
    return KitError(
        f"sessions cannot be at MONGODB_URL: {reason}",
        "correct MONGODB_URL, or that server, then try again",
    )
