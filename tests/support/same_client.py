"""Who a client is, for nginx and for the application: the rule of nginx/client.conf.template."""

from typing import Final

SAME: Final = (
    ("203.0.113.9", "203.0.113.9"),
    ("203.0.113.9", "::ffff:203.0.113.9"),
    ("203.0.113.9", "64:ff9b::203.0.113.9"),
    ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"),
    ("2001:db8:1:2::", "2001:db8:1:2:a0a:a0a:a0a:a0a"),
    ("::1", "::2"),
    ("64:ff9b:0:1::1", "64:ff9b:0:1::2"),
)
"""Pairs of addresses that are one client."""

DIFFERENT: Final = (
    ("203.0.113.9", "203.0.113.10"),
    ("::ffff:203.0.113.9", "::ffff:203.0.113.10"),
    ("64:ff9b::203.0.113.9", "64:ff9b::203.0.113.10"),
    ("2001:db8:1:2::1", "2001:db8:1:3::1"),
    ("203.0.113.9", "2001:db8:1:2::1"),
    ("10.10.10.10", "a0a:a0a::1"),
)
"""Pairs of addresses that are two clients."""
