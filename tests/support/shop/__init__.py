"""The shop, its visitors, and workers that die."""
