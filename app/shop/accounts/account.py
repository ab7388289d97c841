"""Accounts: the hash of a user's password, and its version."""

from dataclasses import dataclass
from typing import Final

from unsticky.stores import Script

from shop.context import current_shop
from shop.store import key

_CHANGE: Final = Script.from_text(
    """
local version, password = unpack(redis.call('HMGET', KEYS[1], 'version', 'password'))
if version == ARGV[2] and password == ARGV[3] then return 1 end
if (version or '0') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'password', ARGV[3], 'revoke ' .. ARGV[2], '1')
redis.call('HDEL', KEYS[1], 'revoke ' .. ARGV[1])
return 1
""",
    "change_password",
)


@dataclass(frozen=True)
class Account:
    """What the store holds of one user.

    Attributes:
        password_hash: Of the password that the user chose; None until then.
        version: Of the password; each change adds one.
        revoke_pending: The password was changed, and sessions of the one before may still live.
    """

    password_hash: str | None = None
    version: int = 0
    revoke_pending: bool = False


def read(user: str) -> Account:
    """Return a user's account."""
    (fields,) = current_shop().store.hashes(_key(user))
    version, password_hash = int(fields.get(b"version", 0)), fields.get(b"password")
    return Account(
        password_hash.decode() if password_hash else None, version, b"revoke %d" % version in fields
    )


def change(user: str, version: int, password_hash: str) -> bool:
    """Set another password if the account still has this version, and mark it as pending.

    Each hash has its own salt, so a change that is sent twice recognises itself.

    Args:
        user: The name.
        version: The one that was checked.
        password_hash: Of the new password.

    Returns:
        Whether this was the last change; False if another one came first.

    Raises:
        StoreUnavailable: It was not changed.
        OutcomeUnknown: It may have been changed.
    """
    return bool(current_shop().store.run(_CHANGE, _key(user), version, version + 1, password_hash))


def is_changed(user: str, version: int, password_hash: str) -> bool:
    """Tell whether `change` with these arguments was the last change."""
    found = read(user)
    return (found.version, found.password_hash) == (version + 1, password_hash)


def note_revoked(user: str, version: int) -> None:
    """Note that all sessions from before this version have ended."""
    current_shop().store.ask("HDEL", _key(user), f"revoke {version}")


def _key(user: str) -> str:
    return key("account", "user", user)
