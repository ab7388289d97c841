"""Accounts: the password's hash and version."""

from shop.records.accounts import Account

from tests.shop.records.places import Place


def test_an_account_that_is_not_there(place: Place) -> None:
    """Who never chose a password has the first version of none."""
    assert place.accounts.read("ada") == Account(None, 0, revoke_pending=False)


def test_a_change(place: Place) -> None:
    """A change sets the hash, the next version and that sessions are to be ended, all at once."""
    changed = Account("hash one", 1, revoke_pending=True)
    assert place.accounts.change("ada", 0, "hash one") == changed
    assert place.accounts.read("ada") == changed
    assert place.accounts.read("grace") == Account()


def test_a_change_that_comes_late(place: Place) -> None:
    """A change of another version than was checked changes nothing."""
    assert place.accounts.change("ada", 0, "hash one") is not None
    assert place.accounts.change("ada", 0, "hash two") is None
    assert place.accounts.change("ada", 5, "hash two") is None
    assert place.accounts.read("ada") == Account("hash one", 1, revoke_pending=True)
    assert place.accounts.change("ada", 1, "hash two") is not None
    assert place.accounts.change("ada", 0, "hash one") is None


def test_settling(place: Place) -> None:
    """What is settled stays so; a later change is not settled by an earlier one's end."""
    place.accounts.change("ada", 0, "hash one")
    place.accounts.change("ada", 1, "hash two")
    place.accounts.settle("ada", 1)
    assert place.accounts.read("ada").revoke_pending
    for _ in range(2):
        place.accounts.settle("ada", 2)
        assert place.accounts.read("ada") == Account("hash two", 2, revoke_pending=False)
    place.accounts.settle("grace", 0)
    assert place.accounts.read("grace") == Account()
