"""A store that fails over under load through nginx, and what that costs the shop's visitors."""
