"""Accounts: the password's hash, and which version of the password it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from shop.records.memory import Memory
from shop.records.owner import Owner
from shop.records.seam import Seam, load

_HASH, _STAMP, _PENDING = "password", "stamp", "revoke_pending"

_READ: Final = load("account_read")
_CHANGE: Final = load("account_change")
_SETTLE: Final = load("account_settle")


@dataclass(frozen=True)
class Account:
    """What is kept of one user.

    Attributes:
        password_hash: Of the password they chose; ``None`` while they have chosen none.
        stamp: The password's version; each change adds one.
        revoke_pending: The password was changed, and it is not known yet that the sessions made
            with the one before have ended.
    """

    password_hash: str | None = None
    stamp: int = 0
    revoke_pending: bool = False


class Accounts(Protocol):
    """Where accounts are kept. Every method is one atomic step."""

    def read(self, user: str) -> Account:
        """Return a user's account."""

    def change(self, user: str, stamp: int, password_hash: str) -> Account | None:
        """Set another password if the account is still of this version, and mark it pending.

        Sent twice, it is done once.

        Args:
            user: The name.
            stamp: The version that was checked.
            password_hash: Of the new password.

        Returns:
            The account as it is now; ``None`` where another change came first.
        """

    def settle(self, user: str, stamp: int) -> None:
        """Note that all sessions of earlier versions have ended, if this is still the version."""


class RedisAccounts:
    """Accounts in Redis or Valkey."""

    def __init__(self, seam: Seam) -> None:
        self._seam = seam

    def read(self, user: str) -> Account:
        """See `Accounts.read`."""
        return _account(*self._seam.ask(_READ, [_key(user)]))

    def change(self, user: str, stamp: int, password_hash: str) -> Account | None:
        """See `Accounts.change`."""
        changed = self._seam.run(_CHANGE, [_key(user)], [stamp, password_hash])
        return Account(password_hash, stamp + 1, revoke_pending=True) if changed else None

    def settle(self, user: str, stamp: int) -> None:
        """See `Accounts.settle`."""
        self._seam.ask(_SETTLE, [_key(user)], [stamp])


class MemoryAccounts:
    """Accounts in this process's memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def read(self, user: str) -> Account:
        """See `Accounts.read`."""
        with self._memory.lock:
            found = self._memory.read(_key(user))
        return _account(found.get(_HASH), found.get(_STAMP), found.get(_PENDING))

    def change(self, user: str, stamp: int, password_hash: str) -> Account | None:
        """See `Accounts.change`."""
        with self._memory.lock:
            found = self._memory.read(_key(user))
            now = int(found.get(_STAMP, 0))
            if now == stamp:
                fields = {_HASH: password_hash, _STAMP: str(stamp + 1), _PENDING: "1"}
                self._memory.write(_key(user), fields)
            elif (now, found.get(_HASH)) != (stamp + 1, password_hash):
                return None
        return Account(password_hash, stamp + 1, revoke_pending=True)

    def settle(self, user: str, stamp: int) -> None:
        """See `Accounts.settle`."""
        with self._memory.lock:
            found = self._memory.read(_key(user))
            if found.get(_STAMP) == str(stamp):
                found.pop(_PENDING, None)
                self._memory.write(_key(user), found)


def _account(password_hash: str | None, stamp: str | None, pending: str | None) -> Account:
    return Account(password_hash, int(stamp or 0), pending is not None)


def _key(user: str) -> str:
    return Owner.user(user).key("account")
