"""The scenario for the shop, and what `make loadtest` runs by default: all of its users."""

from loadtest.scenarios.buyers import Buyer
from loadtest.scenarios.guests import AnonymousBrowser, Bot, Shopper, TwoTabs
from loadtest.scenarios.members import Member

__all__ = ["AnonymousBrowser", "Bot", "Buyer", "Member", "Shopper", "TwoTabs"]
