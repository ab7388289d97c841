"""The scenario for the shop, and what `make loadtest` runs by default: all of its users."""

from scenarios.buyers import Buyer
from scenarios.guests import AnonymousBrowser, Bot, Shopper, TwoTabs
from scenarios.members import Member

__all__ = ["AnonymousBrowser", "Bot", "Buyer", "Member", "Shopper", "TwoTabs"]
